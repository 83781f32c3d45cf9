"""YAML and JSON text -> Document: plain values and the line of each. Nothing in the text is ever executed.

Scalars follow YAML 1.2 (`no` and `1:30` are text, `1e-3` is a number); keys are always text. Duplicate keys,
tags, several documents in one file, and documents that grow out of bounds through aliases are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import assert_never, final

import yaml
from yaml.events import AliasEvent, Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from vocabulary.errors import InvalidInput
from vocabulary.formats.document import Document, KeyPath
from vocabulary.formats.untyped import is_dict, is_list

MAX_CHARACTERS = 32 * 2**20
MAX_VALUES = 1_000_000
# libyaml scans `[[[[` in quadratic time and recursive readers crash on it; no file of ours is deeper than 8.
MAX_DEPTH = 50

_INT = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan"),
}  # fmt: skip

Substitute = Callable[[str], str]


def read_yaml(text: str, *, name: str, substitute: Substitute | None = None) -> Document:
    """Raises InvalidInput with line and column. `substitute` replaces `${VAR}` in scalars."""
    _check_length(text, name)
    builder = _Builder(text, name, substitute)
    try:
        value = builder.document()
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, name) from None
    return Document(name, value, builder.lines.get)


def read_yaml_or_json(text: str, *, name: str) -> Document:
    """Text that starts with `{` is read as JSON, which is quicker; its lines are found when asked for."""
    if not text.lstrip().startswith("{"):
        return read_yaml(text, name=name)
    _check_length(text, name)
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        where = f"{name}:{error.lineno}:{error.colno}"
        raise InvalidInput(f"not valid JSON: {error.msg}", where=where, hint=_JSON_HINT) from None
    except (_DuplicateKey, RecursionError, ValueError):
        # YAML holds JSON, and its reader knows the line.
        return read_yaml(text, name=name)

    @cache
    def lines() -> dict[KeyPath, int]:
        # YAML refuses a few escapes of JSON; the lines above such a place are known all the same.
        builder = _Builder(text, name, None)
        with suppress(yaml.YAMLError, InvalidInput):
            builder.document()
        return builder.lines

    return Document(name, value, lambda path: lines().get(path))


def scalar(text: str) -> object:
    """A plain (unquoted) scalar as a value."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


_JSON_HINT = "the file starts with `{`, so it is read as JSON"


class _DuplicateKey(ValueError):
    pass


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    distinct = dict(pairs)
    if len(distinct) != len(pairs):
        raise _DuplicateKey
    return distinct


def _check_length(text: str, name: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise InvalidInput(
            f"the file has {len(text)} characters; at most {MAX_CHARACTERS} are read",
            where=name,
            hint="is this the right file?",
        )


def _syntax_error(error: yaml.YAMLError, text: str, name: str) -> InvalidInput:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    context = getattr(error, "context", None)
    cause = f"{problem} ({context})" if context else problem
    hint = "check indentation, colons, quotes and brackets near this line"
    lines = text.split("\n")
    if mark and mark.line < len(lines) and lines[int(mark.line)][int(mark.column) :].startswith("\t"):
        hint = "indent with spaces, not tabs"
    return InvalidInput(f"not valid YAML: {cause}", where=where, hint=hint)


@dataclass(frozen=True, slots=True)
class _Anchored:
    value: object
    num_values: int


@final
class _Builder:
    """Builds values from parser events; `lines` grows on the way."""

    def __init__(self, text: str, name: str, substitute: Substitute | None) -> None:
        # PyYAML has no types for what a loader is.
        self._events: Iterator[Event] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        self._name = name
        self._substitute = substitute
        self._anchors: dict[str, _Anchored] = {}
        self._num_values = 0
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> object:
        next(self._events)  # the stream starts
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise self._error("the file is empty", 0, hint="write at least the required keys")
        value = self._value(next(self._events), ())
        next(self._events)  # the document ends
        extra = next(self._events)
        if isinstance(extra, yaml.DocumentStartEvent):
            line = extra.start_mark.line
            raise self._error("a second document starts here", line, hint="keep one document a file")
        return value

    def _value(self, event: Event, path: KeyPath) -> object:
        line = event.start_mark.line
        self.lines.setdefault(path, line + 1)
        if isinstance(event, AliasEvent):
            return self._aliased(event, line)
        assert isinstance(event, ScalarEvent | SequenceStartEvent | MappingStartEvent), event
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._error(f"tag {event.tag} is not accepted", line, hint="write plain values")
        if len(path) > MAX_DEPTH:
            raise self._error(f"nested deeper than {MAX_DEPTH}", line, hint="is this the right file?")
        first = self._num_values
        self._count(1, line)
        value = self._built(event, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, self._num_values - first)
        return value

    def _built(self, event: ScalarEvent | SequenceStartEvent | MappingStartEvent, path: KeyPath) -> object:
        match event:
            case ScalarEvent():
                return self._scalar(event)
            case SequenceStartEvent():
                return self._sequence(path)
            case MappingStartEvent():
                return self._mapping(path)
            case _:
                assert_never(event)

    def _scalar(self, event: ScalarEvent) -> object:
        text = event.value
        if self._substitute is not None and "${" in text:
            try:
                text = self._substitute(text)
            except LookupError as error:
                hint = "set the variable, or write ${NAME:-default}; $${NAME} stands for itself"
                raise self._error(str(error.args[0]), event.start_mark.line, hint=hint) from None
        is_plain = event.implicit[0]
        return scalar(text) if is_plain else text

    def _sequence(self, path: KeyPath) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._value(event, (*path, len(values))))
        return values

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        values: dict[str, object] = {}
        merged: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in values:
                first = self.lines[(*path, key)]
                hint = f"the first one is on line {first}; keep one"
                raise self._error(f"key `{key}` is there twice", event.start_mark.line, hint=hint)
            if key == "<<" and isinstance(event, ScalarEvent) and event.implicit[0]:
                merged |= self._merge(next(self._events), (*path, key))
                continue
            self.lines[(*path, key)] = event.start_mark.line + 1
            values[key] = self._value(next(self._events), (*path, key))
        return merged | values if merged else values

    def _key(self, event: Event) -> str:
        if not isinstance(event, ScalarEvent):
            raise self._error("a key must be plain text", event.start_mark.line, hint="is a quote missing?")
        return event.value

    def _merge(self, event: Event, path: KeyPath) -> dict[str, object]:
        value = self._value(event, path)
        parts: list[object] = value if is_list(value) else [value]
        mappings = [part for part in parts if is_dict(part)]
        if len(mappings) < len(parts):
            raise self._error("`<<` must merge mappings", event.start_mark.line, hint="alias a mapping")
        return {key: part[key] for part in reversed(mappings) for key in part}

    def _aliased(self, event: AliasEvent, line: int) -> object:
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            hint = f"write &{event.anchor} before it, and outside of the value itself"
            raise self._error(f"alias *{event.anchor} stands for nothing", line, hint=hint)
        self._count(anchored.num_values, line)
        return _copied(anchored.value)

    def _count(self, num_values: int, line: int) -> None:
        self._num_values += num_values
        if self._num_values > MAX_VALUES:
            hint = "aliases repeat what they stand for; write less"
            raise self._error(f"the document holds more than {MAX_VALUES} values", line, hint=hint)

    def _error(self, message: str, line: int, *, hint: str) -> InvalidInput:
        return InvalidInput(message, where=f"{self._name}:{line + 1}", hint=hint)


def _copied(value: object) -> object:
    if is_dict(value):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if is_list(value) else value
