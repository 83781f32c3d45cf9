"""Learns how long the answers of each model are: what predictions go by before an answer has ended."""

from __future__ import annotations

from typing import final

# Answers over which lengths are averaged, and how many are needed to believe them.
_NUM_REMEMBERED = 200
_NUM_NEEDED = 8


@final
class LearnedLengths:
    """Means over the last answers that ended by themselves or at their limit."""

    def __init__(self) -> None:
        self._num_seen: dict[str, int] = {}
        self._mean: dict[str, float] = {}

    def observe(self, model: str, num_tokens: int) -> None:
        """An answer of so many tokens has ended."""
        num_seen = self._num_seen[model] = min(self._num_seen.get(model, 0) + 1, _NUM_REMEMBERED)
        mean = self._mean.get(model, 0.0)
        self._mean[model] = mean + (num_tokens - mean) / num_seen

    def expected(self, model: str, most: int) -> int:
        """Tokens that an answer of at most so many is expected to have; all, before enough have ended."""
        if self._num_seen.get(model, 0) < _NUM_NEEDED:
            return most
        return max(1, min(most, round(self._mean[model])))
