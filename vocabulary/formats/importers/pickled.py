"""The values in a pickle of dicts and numpy arrays, read without running anything that it says.

Unpickling calls whatever the file names. Here its instructions are only looked at: calls become `Called`
records, of which `arrays_of` knows numpy's own.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.formats.untyped import is_dict, is_row

MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LITERALS = frozenset((
    "BININT", "BININT1", "BININT2", "INT", "LONG1", "BINFLOAT", "SHORT_BINUNICODE", "BINUNICODE",
    "BINUNICODE8", "UNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINSTRING", "BINSTRING",
    "BYTEARRAY8",
))  # fmt: skip
_PUTS = frozenset(("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"))
_GETS = frozenset(("BINGET", "LONG_BINGET", "GET"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(slots=True)
class Called:
    """Something that the pickle would have called; `state` and `items` are what it would have set on it."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


def arrays_of(raw: bytes) -> Mapping[str, NDArray[Any]]:
    """A pickled (ordered) dict of numpy arrays of numbers by name. Raises ValueError for anything else."""
    try:
        value = _value(raw)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its instructions make no sense ({type(error).__name__})") from None
    items = _items(value)
    if not all(isinstance(name, str) for name in items):
        raise ValueError("it holds no dict of arrays by name")
    return {name: _array(array) for name, array in items.items()}


def _value(raw: bytes) -> Any:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(raw):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _PUTS:
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = stack[-1]
        elif name in _GETS:
            stack.append(memo[int(argument or 0)])
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            _perform(name, argument, stack)
    raise ValueError("the file ends too early")


def _perform(name: str, argument: Any, stack: list[Any]) -> None:
    """The instructions that build something."""
    match name:
        case "NONE" | "NEWTRUE" | "NEWFALSE":
            stack.append(_CONSTANTS[name])
        case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
            stack.append(_EMPTY[name]())
        case "MARK":
            stack.append(MARK)
        case "TUPLE":
            stack.append(tuple(_from_mark(stack)))
        case "TUPLE1" | "TUPLE2" | "TUPLE3":
            parts = [stack.pop() for _ in range(_TUPLES[name])]
            stack.append(tuple(reversed(parts)))
        case "GLOBAL":
            stack.append(Called(argument.replace(" ", ".")))
        case "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(Called(f"{module}.{attribute}"))
        case "REDUCE" | "NEWOBJ":
            arguments, called = stack.pop(), stack.pop()
            stack.append(Called(called.name, tuple(arguments)))
        case "BUILD":
            state = stack.pop()
            stack[-1].state = state
        case "SETITEMS":
            pairs = _from_mark(stack)
            _items(stack[-1]).update(zip(pairs[::2], pairs[1::2], strict=True))
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            _items(stack[-1])[key] = value
        case _:
            raise ValueError(f"it has an instruction ({name}) that dicts of arrays do not need")


def _from_mark(stack: list[Any]) -> list[Any]:
    parts: list[Any] = []
    while (top := stack.pop()) is not MARK:
        parts.append(top)
    return parts[::-1]


def _items(target: Any) -> dict[Any, Any]:
    if is_dict(target):
        return target
    if isinstance(target, Called) and target.name == "collections.OrderedDict":
        return target.items
    raise ValueError("it holds something other than dicts of arrays")


def _array(value: Any) -> NDArray[Any]:
    """Of `_reconstruct` and its state, or of `_frombuffer`, as numpy pickles arrays."""
    if not isinstance(value, Called):
        raise ValueError("it holds something other than arrays")
    match value.name.rpartition(".")[2], value.arguments, value.state:
        case "_reconstruct", _, (_, shape, Called() as kind, _, bytes() as content):
            pass
        case "_frombuffer", (bytes() | bytearray() as content, Called() as kind, shape, _), _:
            pass
        case _:
            raise ValueError(f"it holds {value.name}, which is no array of numbers")
    return np.frombuffer(bytes(content), _dtype(kind)).reshape(shape)


def _dtype(kind: Called) -> np.dtype[Any]:
    code = kind.arguments[0] if kind.arguments else None
    if kind.name != "numpy.dtype" or code not in ("i4", "i8", "f4", "f8"):
        raise ValueError(f"its arrays are of {code!r}, not of numbers")
    state: Any = kind.state
    order: object = state[1] if is_row(state) and len(state) > 1 else "<"
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "<")
