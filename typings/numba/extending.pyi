from collections.abc import Callable
from typing import Any, TypeVar, overload

from numba import types

_C = TypeVar("_C", bound=type)

def register_model(numba_type: type[types.Type]) -> Callable[[_C], _C]: ...

# What compiled code may call: what it takes and gives is said where it is called, not here.
@overload
def intrinsic(function: Callable[..., Any], /) -> Callable[..., Any]: ...
@overload
def intrinsic(*, prefer_literal: bool = ...) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

class models:
    class PrimitiveModel:
        def __init__(self, manager: Any, row_type: types.Type, backend_type: Any) -> None: ...
