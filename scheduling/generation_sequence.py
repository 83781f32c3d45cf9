"""What a scheduler of generating requests works with: sequences, their steps, what came of a step."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import msgspec

from scheduling.prefixes import PageKey
from vocabulary.messages import NO_MOVES, PageMoves, Slice
from vocabulary.request import Request


@final
class Answers:
    """What all samples of one request share.

    num_live: sequences that have not ended; reserve: pages taken for samples that will need them, where the
    output is reserved; is_failed: a step of one of them failed.
    """

    __slots__ = ("is_failed", "num_live", "reserve")

    def __init__(self) -> None:
        self.num_live = 1
        self.reserve: tuple[int, ...] = ()
        self.is_failed = False


@final
class Sequence:
    """One answer that is being computed; until the prompt is, it stands for all samples of the request.

    prompt_tokens: to compute before the next token can be emitted (after a preemption, with all that was
    emitted before); num_cached: tokens in the cache; num_held: tokens that pages of its own can hold, less
    than its pages have places while it shares the last of them with other samples; num_samples: answers that
    begin when the prompt is computed, 1 from then on.
    """

    __slots__ = (
        "answers",
        "host_pages",
        "is_dropped",
        "is_in_flight",
        "keys",
        "moved_with",
        "num_cached",
        "num_emitted",
        "num_held",
        "num_keyed",
        "num_samples",
        "num_told",
        "output_tokens",
        "pages",
        "prompt_tokens",
        "request",
        "sample",
        "told_pages",
    )

    def __init__(self, request: Request, keys: list[PageKey]) -> None:
        self.request = request
        self.answers = Answers()
        self.sample = 0
        self.num_samples = max(request.num_samples, 1)
        # Of its full pages, as far as they are known: of the prompt, and of the answer where an engine tells.
        self.keys = keys
        # A prompt begins with at least one token, an answer has at least one.
        self.prompt_tokens = max(request.input_tokens, 1)
        self.output_tokens = max(request.output_tokens, 1)
        self.pages: list[int] = []
        # The same as a tuple, None since they changed.
        self.told_pages: tuple[int, ...] | None = None
        # Where its tokens are while it waits; num_cached counts them.
        self.host_pages: tuple[int, ...] = ()
        # Moves of the step before which it went there last: without that step, it is not there.
        self.moved_with: PageMoves = NO_MOVES
        self.num_cached = 0
        self.num_emitted = 0
        self.num_held = 0
        # Pages at the front that the cache of prefixes knows.
        self.num_keyed = 0
        # Tokens of the prompt that the queue has been told of.
        self.num_told = 0
        self.is_in_flight = False
        # Nobody waits for it any more: it leaves when its step ends.
        self.is_dropped = False

    def forked(self, sample: int) -> Sequence:
        """Another answer to the same prompt, which is computed; without pages yet."""
        other = Sequence(self.request, list(self.keys))
        other.answers = self.answers
        other.sample, other.num_samples = sample, 1
        other.num_cached, other.num_keyed, other.num_told = self.num_cached, self.num_keyed, self.num_told
        self.answers.num_live += 1
        return other

    def num_outputs(self, num_tokens: int) -> int:
        """Tokens that are drawn when so many more are computed."""
        return self.num_samples if self.num_cached + num_tokens >= self.prompt_tokens else 0

    def slice(self, num_tokens: int) -> Slice:
        """What it computes in a step that starts now, for engines that hold pages."""
        if self.told_pages is None:
            self.told_pages = tuple(self.pages)
        num_outputs = self.num_outputs(num_tokens)
        return Slice(self.request.id, self.sample, self.num_cached, num_tokens, self.told_pages, num_outputs)

    def served(self, num_tokens: int) -> tuple[int, int]:
        """Of its prompt, tokens that a step with so many computes, and that the cache had: told only once."""
        num_prompt, told = max(self.request.input_tokens, 1), self.num_told
        begin = min(self.num_cached, num_prompt)
        end = min(self.num_cached + num_tokens, num_prompt)
        self.num_told = max(told, end)
        return max(0, end - max(begin, told)), max(0, begin - told)

    def begin_again(self) -> None:
        """Nothing of it is in the cache: its prompt is now all that it was asked and has emitted."""
        self.prompt_tokens = max(self.request.input_tokens, 1) + self.num_emitted
        self.num_cached = self.num_keyed = 0


class Step(msgspec.Struct, frozen=True):
    """One pass through the stages: the sequences in it, and how many tokens each computes.

    num_tokens: their sum, at most the limit of a step; num_kv_tokens: tokens of its sequences in the cache
    when it starts. moves: pages that move before it.
    """

    sequences: tuple[Sequence, ...]
    slices: tuple[int, ...]
    num_tokens: int
    num_kv_tokens: int
    moves: PageMoves = NO_MOVES

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple([sequence.request for sequence in self.sequences])

    def told_slices(self) -> tuple[Slice, ...]:
        """For engines that hold pages; right until the step ends."""
        pairs = zip(self.sequences, self.slices, strict=True)
        return tuple([sequence.slice(num_tokens) for sequence, num_tokens in pairs])

    def hear_stopped(self, stopped: Collection[tuple[int, int]]) -> None:
        """Answers (request id, sample) whose last token comes with this step, which has not been counted."""
        for sequence in self.sequences:
            if (sequence.request.id, sequence.sample) in stopped:
                sequence.output_tokens = sequence.num_emitted + 1

    def hear_full_pages(self, full_pages: Collection[tuple[int, int, int, int]], *, page_tokens: int) -> None:
        """Pages of answers that this step, which has not been counted, has filled (`BatchFinished`).

        Keys go on where those before end: a page that was computed again is known by its key already.
        """
        pairs = zip(self.sequences, self.slices, strict=True)
        of_step = {(one.request.id, one.sample): (one, num_tokens) for one, num_tokens in pairs}
        for request_id, sample, page_index, page_hash in full_pages:
            sequence, num_tokens = of_step[request_id, sample]
            num_full = (sequence.num_cached + num_tokens) // page_tokens
            if sequence.request.prefix is not None and len(sequence.keys) == page_index < num_full:
                sequence.keys.append((page_hash, page_index))


class Progress(msgspec.Struct, frozen=True):
    """Request ids in the order of the step: whose first token came, who is done, who left before that.

    A request of several samples has a first token once, and is done, dropped or failed with the last of them.
    """

    num_emitted: int
    first_token_ids: tuple[int, ...] = ()
    finished_ids: tuple[int, ...] = ()
    dropped_ids: tuple[int, ...] = ()
    failed_ids: tuple[int, ...] = ()
