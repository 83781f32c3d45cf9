"""Which beginnings of prompts a group has in its cache, as far as the cluster knows: what it sent there."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from vocabulary.generation import GenerationLimits
from vocabulary.request import Request

# Hashes remembered of one model on one group, some 150 bytes each; a larger cache is believed to be so large.
MOST_REMEMBERED = 2**17
# What is believed of the group's room: less after a hit that did not come, a little more after one that did.
_LESS, _MORE, _LEAST = 0.9, 1.01, 1 / 64


@final
class SentPrefixes:
    """An approximate radix tree of one model's prompts on one group: hashes in the order of their last use.

    It holds as many as the group's cache has room for. A chain is remembered end first, so what is forgotten
    of it is always its end. What answers take of the cache, and what running requests hold, is not known: the
    room is corrected by what the group reports (`told`).
    """

    __slots__ = ("_hashes", "_num_tokens", "_page_tokens", "_room")

    def __init__(self, limits: GenerationLimits) -> None:
        self._page_tokens = limits.page_tokens
        self._num_tokens = limits.num_pages * limits.page_tokens
        self._room = 1.0
        self._hashes: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hashes)

    def num_hit(self, request: Request) -> int:
        """Tokens of the prompt that are believed to be in the cache; at least one has to be computed."""
        prefix, known = request.prefix, self._hashes
        if prefix is None or not known:
            return 0
        hashes = prefix.block_hashes
        low, high = 0, len(hashes)
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] in known:
                low = middle + 1
            else:
                high = middle
        most = max(request.input_tokens - 1, 0)
        return min(low * prefix.block_tokens, most) // self._page_tokens * self._page_tokens

    def send(self, request: Request) -> None:
        """The request goes there, and its prompt will be in the cache."""
        prefix, known = request.prefix, self._hashes
        if prefix is None:
            return
        for block in reversed(prefix.block_hashes):
            known[block] = None
            known.move_to_end(block)
        most = min(int(self._room * self._num_tokens) // prefix.block_tokens, MOST_REMEMBERED)
        for _ in range(len(known) - most):
            known.popitem(last=False)

    def told(self, *, believed: int, num_cached: int) -> None:
        """Of a request sent when `believed` tokens were, the group found `num_cached` in its cache."""
        if num_cached < believed:
            self._room = max(self._room * _LESS, _LEAST)
        elif believed:
            self._room = min(self._room * _MORE, 1.0)

    def clear(self) -> None:
        """The group lost its cache."""
        self._hashes.clear()
        self._room = 1.0
