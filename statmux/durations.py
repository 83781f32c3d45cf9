"""Durations on the command line: `60`, `60s`, `2m`, `500ms` as seconds."""

from __future__ import annotations

import math

import typer

from vocabulary.units import parse_seconds


def seconds(text: str) -> float:
    """A plain number is seconds. Raises typer.BadParameter with the accepted forms."""
    try:
        duration_s = _parsed(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not 0.0 <= duration_s < math.inf:
        raise typer.BadParameter(f"{text!r} is not a duration; write 60, 60s, 2m or 500ms")
    return duration_s


def positive_seconds(text: str) -> float:
    """As `seconds`, of what has a length. Raises typer.BadParameter."""
    duration_s = seconds(text)
    if duration_s == 0:
        raise typer.BadParameter(f"{text!r} has no length; write 60, 60s, 2m or 500ms")
    return duration_s


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return parse_seconds(text)
