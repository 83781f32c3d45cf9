"""A file as plain values that know where they stand, so that every error can say which line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from vocabulary.errors import InvalidInput

# Keys and list indices from the top of the file down to a value.
KeyPath = tuple[str | int, ...]


def _as_it_is(path: KeyPath) -> KeyPath:
    return path


@dataclass(frozen=True, slots=True)
class Document:
    """`name` is the file as the user wrote it; `line_of` knows the line (from 1) of most key paths.

    overrides: key paths that came from the command line, and the flag that set each. written: where a key
    path of what was made of the file stands in it.
    """

    name: str
    value: object
    line_of: Callable[[KeyPath], int | None]
    overrides: Mapping[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    written: Callable[[KeyPath], KeyPath] = _as_it_is

    def error(self, path: KeyPath, message: str, *, hint: str) -> InvalidInput:
        """To be raised: `message` about the value at `path`, with its line or the flag that set it."""
        path = self.written(path)
        shown = f"{show_path(path)}: {message}" if path else message
        return InvalidInput(shown, where=self._where(path), hint=hint)

    def line(self, path: KeyPath) -> int:
        """Line of the value, or of the nearest value round it."""
        for length in range(len(path), -1, -1):
            line = self.line_of(path[:length])
            if line is not None:
                return line
        return 1

    def _where(self, path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            if path[:length] in self.overrides:
                return self.overrides[path[:length]]
        return f"{self.name}:{self.line(path)}"


def show_path(path: KeyPath) -> str:
    """`("models", 2, "slo")` as `models[2].slo`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def show_value(value: object) -> str:
    """A short form of a value for messages."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
        case _:
            return str(value)[:60]


def did_you_mean(word: str, known: tuple[str, ...]) -> str:
    """A hint: the nearest of `known`, or all of them when none is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean `{near[0]}`?"
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"known here: {shown}" if known else "nothing is expected here"
