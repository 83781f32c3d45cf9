"""A deterministic engine of whole numbers: pages are arrays, moves are performed, tokens are hashes of pages.

What a stage stores for a token is a hash of the token and of what it stored for the one before, read through
the pages; what it draws next is a hash of all that a sequence's pages hold. So a page written by another, a
move in the wrong order, a wrong table or start changes the tokens that come after.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vocabulary.messages import PageMoves, Slice

VOCABULARY = 40
END = 0


def stored(before: int, value: int) -> int:
    return hash((before, value, 7))


def drawn(values: Sequence[int], request_id: int, sample: int) -> int:
    """The token after those that left `values` on the last stage: END is one in VOCABULARY."""
    return hash((*values, request_id, sample)) % VOCABULARY


class ToyStage:
    """The pages of one stage on the device and on the host [pages, page tokens]."""

    def __init__(
        self, *, num_pages: int, num_host_pages: int, page_tokens: int, moves_at_once: bool = False
    ) -> None:
        self._device = np.zeros((num_pages, page_tokens), dtype=np.int64)
        self._host = np.zeros((num_host_pages, page_tokens), dtype=np.int64)
        self._page_tokens = page_tokens
        self._moves_at_once = moves_at_once

    def move(self, moves: PageMoves) -> None:
        """Kind after kind; those of a kind one after the other, or all reads before all writes."""
        self._carry(moves.to_host, self._device, self._host)
        self._carry(moves.from_host, self._host, self._device)
        self._carry(moves.copies, self._device, self._device)

    def run(self, one: Slice, values: Sequence[int]) -> list[int]:
        """Store what belongs to the slice's tokens; returns that, for the next stage."""
        found = []
        before = self._at(one.pages, one.start - 1) if one.start else 0
        for position, value in enumerate(values, one.start):
            before = stored(before, value)
            page, place = one.pages[position // self._page_tokens], position % self._page_tokens
            self._device[page, place] = before
            found.append(before)
        return found

    def read(self, pages: Sequence[int], num_tokens: int) -> list[int]:
        return [self._at(pages, position) for position in range(num_tokens)]

    def _at(self, pages: Sequence[int], position: int) -> int:
        return int(self._device[pages[position // self._page_tokens], position % self._page_tokens])

    def _carry(self, pairs: tuple[tuple[int, int], ...], source: np.ndarray, target: np.ndarray) -> None:
        assert len({to for _, to in pairs}) == len(pairs), f"two moves to one page: {pairs}"
        if not pairs:
            return
        if self._moves_at_once:
            sources, targets = zip(*pairs, strict=True)
            target[list(targets)] = source[list(sources)]
            return
        for one, other in pairs:
            target[other] = source[one]


def stored_values(tokens: Sequence[int], *, num_stages: int) -> list[int]:
    """What the last stage stores for these tokens, without pages."""
    values = list(tokens)
    for _ in range(num_stages):
        before, found = 0, []
        for value in values:
            before = stored(before, value)
            found.append(before)
        values = found
    return values


def answer_alone(
    prompt: Sequence[int], *, request_id: int, sample: int, output_tokens: int, num_stages: int
) -> list[int]:
    """What the engine has to say to a request, whatever runs beside it."""
    tokens = list(prompt)
    for _ in range(output_tokens):
        tokens.append(drawn(stored_values(tokens, num_stages=num_stages), request_id, sample))
        if tokens[-1] == END:
            break
    return tokens[len(prompt) :]
