"""Words for names that do not exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from controller.calls import Reason
from controller.text.refused import Refused

_MAX_NAMES_TO_COMPARE = 200
_MAX_NAMES_TO_SHOW = 5
_MAX_CHARS = 80


def unknown_model(name: str, known: list[str]) -> Refused:
    """The refusal of a call for `name`, with the nearest name that exists."""
    shown = short(name)
    nearest = did_you_mean(shown, known)
    listed = ", ".join(known[:_MAX_NAMES_TO_SHOW]) or "none"
    more = f" and {len(known) - _MAX_NAMES_TO_SHOW} more" if len(known) > _MAX_NAMES_TO_SHOW else ""
    return Refused(
        Reason.UNKNOWN_MODEL,
        f"unknown model {shown!r}{nearest or f'; known models: {listed}{more}'}",
        param="model",
        code="model_not_found",
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?", or nothing where nothing is near."""
    near = get_close_matches(short(name), list(known)[:_MAX_NAMES_TO_COMPARE], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def short(text: str) -> str:
    """`text` cut to a length that fits into a message."""
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "..."
