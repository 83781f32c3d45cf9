"""What a user sees: results on stdout, as a table or as exactly one document; the rest on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from statmux.options import Choices, OutputFormat
from statmux.progress import Progress

SCHEMA_VERSION = 1
_RED, _YELLOW, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"


@final
class Console:
    """Prints as the user chose. A verb makes one from its context: `Console(ctx.obj)`."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    @property
    def is_table(self) -> bool:
        return self._choices.output is OutputFormat.TABLE

    def result(self, document: Mapping[str, Any], table: Callable[[], str]) -> None:
        """The one result of a verb: `document` for programs, `table()` for people."""
        match self._choices.output:
            case OutputFormat.TABLE:
                text = table()
            case OutputFormat.JSON:
                text = json.dumps(_printable(document), indent=2, allow_nan=False)
            case OutputFormat.YAML:
                from vocabulary.formats.yaml_out import format_yaml

                text = format_yaml(_printable(document)).rstrip("\n")
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def line(self, document: Mapping[str, Any], table: Callable[[], str]) -> None:
        """One of many results: with JSON a line each, with YAML a document each, else tables."""
        if self._choices.output is OutputFormat.JSON:
            sys.stdout.write(json.dumps(_printable(document), allow_nan=False) + "\n")
            sys.stdout.flush()
            return
        self.result(document, table)
        if self._choices.output is OutputFormat.YAML:
            sys.stdout.write("---\n")

    def say(self, text: str) -> None:
        """Something good to know, on stderr; nothing when the user wants quiet."""
        if not self._choices.is_quiet:
            self._to_stderr(text)

    def hint(self, text: str) -> None:
        self.say(f"hint: {text}")

    def warn(self, text: str) -> None:
        self.say(f"{self._coloured('warning:', _YELLOW)} {text}")

    def error(self, text: str, *, hint: str | None = None) -> None:
        """Always shown. `hint` is the remedy."""
        self._to_stderr(f"{self._coloured('error:', _RED)} {text}")
        if hint:
            self._to_stderr(f"{self._coloured('hint:', _BOLD)} {hint}")

    def progress(self, label: str, *, total: int | None = None) -> Progress:
        """To be used with `with`; shown on stderr."""
        return Progress(label, total=total, stream=sys.stderr, is_shown=not self._choices.is_quiet)

    def _to_stderr(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _coloured(self, text: str, colour: str) -> str:
        wanted = self._choices.has_colour and sys.stderr.isatty()
        wanted = wanted and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return f"{colour}{text}{_PLAIN}" if wanted else text


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """Aligned columns: the first `left` to the left, the others to the right. None is shown as `-`."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    lines = []
    for row in [list(headings), *cells]:
        padded = [
            text.ljust(width) if index < left else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def percent(share: float | None) -> str | None:
    """0.98765 as 98.77%."""
    return None if share is None else f"{share:.2%}"


def milliseconds(seconds: float | None) -> str | None:
    """0.0123 as 12.3 ms."""
    return None if seconds is None else f"{seconds * 1000:.1f} ms"


def marked(text: str | None, *, is_estimated: bool) -> str | None:
    """A number that rests on an estimated profile carries a tilde: ~98.77%."""
    return f"~{text}" if text is not None and is_estimated else text


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.3f}"
        case _:
            return str(value)


def _printable(document: Mapping[str, Any]) -> Any:
    """With the schema's version first; numbers that JSON does not have become null."""
    return _clean({"schema_version": SCHEMA_VERSION, **document})


def _clean(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(key): _clean(item) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item) for item in value]
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else None
        case _ if hasattr(value, "tolist"):  # numpy, which this file does not import
            return _clean(value.tolist())
        case _:
            return str(value)
