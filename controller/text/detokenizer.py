"""Tokens to text as they come, never half a character, in the end exactly what decoding all at once gives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import final

from controller.text.codec import TextCodec

_UNDECIDED = "\ufffd"  # what tokenizers make of bytes that are not a character, or not one yet
# Bytes of one character are at most 4, so at most 4 tokens; more that end undecided are not UTF-8 at all.
_MAX_UNDECIDED = 16
_CONTEXT = 8


@final
class Detokenizer:
    """The text of one answer. Tokens are decoded after those of the last piece, so that spaces are right.

    The pieces together are `codec.decode` of all tokens, or what they add to those they go on from. One
    exception: byte-fallback tokens (`<0xE2>`) which turn out not to be UTF-8 after a valid character was
    told; decode takes that character back, we do not.
    """

    def __init__(self, codec: TextCodec, *, after: Sequence[int] = (), skips_special: bool = True) -> None:
        """after: tokens that the answer goes on from, so that a first word has its space."""
        self._codec = codec
        self._skips_special = skips_special
        self._window = self._context_of(after)  # tokens of the last piece, and what came since
        self._num_told = len(self._window)  # tokens of the window whose text was told
        self._told = self._decode(self._window)  # that text, as the window decodes

    def push(self, token_id: int) -> str:
        """What can be told now; empty while a character is incomplete."""
        if not self._codec.has_text(token_id, skips_special=self._skips_special):
            return ""
        self._window.append(token_id)
        fresh = self._fresh()
        if not fresh:
            return ""
        if not fresh.endswith(_UNDECIDED):
            self._window = self._window[self._num_told :]
            self._num_told = len(self._window)
            self._told = self._decode(self._window)
            return fresh
        if len(self._window) - self._num_told > _MAX_UNDECIDED:
            return self._told_but_last(fresh)
        return ""

    def finish(self) -> str:
        """What is left: the bytes of an incomplete character, as the replacement character."""
        fresh = self._fresh()
        self._window, self._num_told, self._told = [], 0, ""
        return fresh

    def _context_of(self, after: Sequence[int]) -> list[int]:
        """The last few of them that make whole characters."""
        told = list(islice(filter(self._codec.has_text, reversed(after)), _CONTEXT))[::-1]
        while told and _UNDECIDED in self._decode(told):
            del told[0]
        return told

    def _fresh(self) -> str:
        text = self._decode(self._window)
        if text.startswith(self._told):
            return text[len(self._told) :]
        return self._decode(self._window[self._num_told :])

    def _told_but_last(self, fresh: str) -> str:
        """All but the last replacement character, which may yet become a character."""
        self._window = self._window[-_CONTEXT:]
        self._num_told = len(self._window)
        self._told = self._decode(self._window)
        if self._told.endswith(_UNDECIDED):
            self._told = self._told.removesuffix(_UNDECIDED)
            return fresh.removesuffix(_UNDECIDED)
        return fresh

    def _decode(self, token_ids: list[int]) -> str:
        return self._codec.decode(token_ids, skips_special=False)
