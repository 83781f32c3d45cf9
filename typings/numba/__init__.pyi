# A compiled function keeps the signature of the Python function that it is made from.
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from numba import types as types

__version__: str

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)
_R = TypeVar("_R")

class Stats(Protocol):
    @property
    def cache_path(self) -> str: ...

class Compiled(Protocol[_P, _R_co]):
    __name__: str
    @property
    def stats(self) -> Stats: ...
    @property
    def py_func(self) -> Callable[_P, _R_co]: ...
    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...

# In compiled code: the number as a whole one of 64 bits.
def int64(value: float, /) -> int: ...
@overload
def njit(function: Callable[_P, _R], /) -> Compiled[_P, _R]: ...
@overload
def njit(**options: Any) -> Callable[[Callable[_P, _R]], Compiled[_P, _R]]: ...
