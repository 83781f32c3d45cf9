"""The id by which the client of a call may ask about it, where it named none itself."""

from __future__ import annotations

import secrets
from itertools import count

# A uuid costs ten times as much, and this stands on the hot path. Each process has a prefix of its own.
_PREFIX = secrets.token_hex(6)
_COUNT = count(1)


def drawn_id() -> str:
    """One that no other call has, of this process or another."""
    return f"{_PREFIX}-{next(_COUNT):x}"


def is_drawn(call_id: str) -> bool:
    """Whether `drawn_id` of this process made it, so that its client has not seen it."""
    return call_id.startswith(_PREFIX)
