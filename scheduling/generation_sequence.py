"""What a scheduler of generating requests works with: sequences, their steps, what came of a step."""

from __future__ import annotations

from typing import final

import msgspec

from scheduling.prefixes import PageKey
from vocabulary.request import Request


@final
class Sequence:
    """A request that is being answered.

    prompt_tokens: to compute before the next token can be emitted (after a preemption, with all that was
    emitted before); num_cached: tokens in the cache; num_held: tokens that its pages can hold.
    """

    __slots__ = (
        "is_dropped",
        "is_in_flight",
        "keys",
        "num_cached",
        "num_emitted",
        "num_held",
        "num_keyed",
        "output_tokens",
        "pages",
        "prompt_tokens",
        "request",
    )

    def __init__(self, request: Request, keys: list[PageKey]) -> None:
        self.request = request
        self.keys = keys
        # A prompt begins with at least one token, an answer has at least one.
        self.prompt_tokens = max(request.input_tokens, 1)
        self.output_tokens = max(request.output_tokens, 1)
        self.pages: list[int] = []
        self.num_cached = 0
        self.num_emitted = 0
        self.num_held = 0
        # Pages at the front that came from the cache of prefixes.
        self.num_keyed = 0
        self.is_in_flight = False
        # Nobody waits for it any more: it leaves when its step ends.
        self.is_dropped = False


class Step(msgspec.Struct, frozen=True):
    """One pass through the stages: the sequences in it, and how many tokens each computes.

    num_tokens: their sum, at most the limit of a step; num_kv_tokens: tokens of its sequences in the cache
    when it starts.
    """

    sequences: tuple[Sequence, ...]
    slices: tuple[int, ...]
    num_tokens: int
    num_kv_tokens: int

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple([sequence.request for sequence in self.sequences])


class Progress(msgspec.Struct, frozen=True):
    """Request ids in the order of the step: whose first token came, who is done, who left before that."""

    num_emitted: int
    first_token_ids: tuple[int, ...] = ()
    finished_ids: tuple[int, ...] = ()
    dropped_ids: tuple[int, ...] = ()
