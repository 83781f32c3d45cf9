"""Durations on the command line: `60`, `60s`, `2m`, `500ms` as seconds."""

from __future__ import annotations

import typer

from vocabulary.units import parse_seconds


def seconds(text: str) -> float:
    """A plain number is seconds. Raises typer.BadParameter with the accepted forms."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
