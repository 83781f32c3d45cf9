"""Which beginnings of prompts a group has in its cache, as far as the cluster knows: what it sent there."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from typing import final

from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.request import Request

# Hashes remembered of one model on one group, some 150 bytes each; a larger cache is believed to be so large.
MOST_REMEMBERED = 2**17
# Of smaller blocks, only one for so many tokens is remembered.
_GRAIN_TOKENS = 64


@final
class SentPrefixes:
    """An approximate radix tree of one model's prompts on one group: hashes in the order of their last use.

    It holds as many as the group's cache has room for, as if nothing else were in it: what answers
    take is not known. A chain is remembered end first, so what is forgotten of it is always its end.
    """

    __slots__ = ("_hashes", "_num_tokens", "_page_tokens")

    def __init__(self, limits: GenerationLimits) -> None:
        self._page_tokens = limits.page_tokens
        self._num_tokens = limits.num_pages * limits.page_tokens
        self._hashes: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hashes)

    def num_hit(self, request: Request) -> int:
        """Tokens of the prompt that are believed to be in the cache; at least one has to be computed."""
        prefix, known = request.prefix, self._hashes
        if prefix is None or not known:
            return 0
        stride = _stride(prefix)
        hashes = prefix.block_hashes[stride - 1 :: stride]
        num_known = bisect_left(hashes, True, key=lambda block: block not in known)
        most = max(request.input_tokens - 1, 0)
        return min(num_known * stride * prefix.block_tokens, most) // self._page_tokens * self._page_tokens

    def send(self, request: Request) -> None:
        """The request goes there, and its prompt will be in the cache."""
        prefix, known = request.prefix, self._hashes
        if prefix is None:
            return
        stride = _stride(prefix)
        for block in prefix.block_hashes[stride - 1 :: stride][::-1]:
            known[block] = None
            known.move_to_end(block)
        most = min(self._num_tokens // (stride * prefix.block_tokens), MOST_REMEMBERED)
        for _ in range(len(known) - most):
            known.popitem(last=False)

    def clear(self) -> None:
        """The group lost its cache."""
        self._hashes.clear()


def _stride(prefix: Prefix) -> int:
    """Of so many blocks the last is remembered."""
    return max(1, _GRAIN_TOKENS // prefix.block_tokens)
