from typing import Any

class Type:
    def __init__(self, name: str) -> None: ...
    # A type called with types is a signature.
    def __call__(self, *arguments: Type) -> Any: ...

class UniTuple(Type):
    def __init__(self, dtype: Type, count: int) -> None: ...

class IntegerLiteral(Type):
    @property
    def literal_value(self) -> int: ...

class BaseTuple(Type):
    def __len__(self) -> int: ...

boolean: Type
float64: Type
int64: Type
none: Type
