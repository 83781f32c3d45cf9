"""Calls of nobody who is known: the journal has a few of them, so that they push no other lines out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import final

from controller.calls import Reason, Refusal

# So many lines at once, and one more each second: some 90,000 a day at most, of the million that are kept.
BURST, LINES_PER_S = 20, 1.0


@final
class Strangers:
    """Says which refusals go into the journal, and counts the others."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._num_free = float(BURST)
        self._counted_s = clock()
        self._num_left_out = 0

    def told(self, refusal: Refusal) -> Refusal | None:
        """As it is written, with how many were left out before it; None: it is left out. Whoever is known
        is written always."""
        if refusal.reason is not Reason.UNAUTHENTICATED:
            return refusal
        now_s = self._clock()
        self._num_free = min(BURST, self._num_free + (now_s - self._counted_s) * LINES_PER_S)
        self._counted_s = now_s
        if self._num_free < 1.0:
            self._num_left_out += 1
            return None
        self._num_free -= 1.0
        num_left_out, self._num_left_out = self._num_left_out, 0
        if not num_left_out:
            return refusal
        words = f"{refusal.message}; {num_left_out} more such calls before it are not in the journal"
        return replace(refusal, message=words)
