"""Continuous batching: which sequences of a generating model take the next step, and with how many tokens.

After Orca (iteration-level scheduling), vLLM (pages, preemption), Sarathi (chunked prompts). The rule, all of
it within one instant (docs/decisions/0005-generation-in-the-group-scheduler.md):

1. Running sequences in order of admission: one whose prompt is computed computes 1 token, another as much of
   its prompt as the budget of the step leaves. Pages that it lacks are free ones, then unused ones of cached
   prefixes, then those of the running sequence admitted last (perhaps itself). That one returns to the head
   of the queue: its tokens go to pages of the host where these have room, and are otherwise computed again,
   with all that it has emitted as part of its prompt.
2. If nothing was preempted: waiting requests in their order, until one does not fit the sequences, the budget
   or the pages; unused pages of cached prefixes count as free. A prompt begins with the pages that the cache
   knows; at least one of its tokens is computed.
3. When the step ends, in its order: a prompt that is complete becomes known to the cache, and its sequence
   emits a token, as decoding ones do; a sequence that has emitted all its tokens gives its pages back.

A request of n samples (docs/decisions/0024-pages-and-forks.md) counts as n sequences from its admission on,
so a fork never exceeds them. It forks when its prompt is complete, without a page more: samples share the
pages of the prompt, and each is a sequence of its own, in the order after the first. The one that writes to a
page that others hold takes a page and a copy of it then, as it would to grow, with preemption where none is
free; where the output is reserved, admission reserves for all samples.

With p stages, p steps overlap: a step takes at most a p-th (rounded up) of the running sequences for
decoding, and none that is in another step. Nor is one preempted that is in another step: when all that were
admitted later are, a sequence keeps its pages and waits for one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Sequence as Row
from typing import final

from scheduling.backlog import Unfinished, unfinished
from scheduling.generation_sequence import Progress, Sequence, Step
from scheduling.queueing import Key, Queue
from scheduling.running_sequences import RunningSequences
from scheduling.sequence_pages import SequencePages
from scheduling.step_ends import StepEnds
from scheduling.waiting import AbstractWaiting, MakeWaiting
from scheduling.waiting_sequences import WaitingSequences
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.messages import NO_MOVES
from vocabulary.request import Request


@final
class GenerationScheduler:
    """Answers every request that it is given, or drops it when told to. Knows no time."""

    def __init__(
        self,
        limits: GenerationLimits,
        *,
        order: Callable[[Request], Key],
        num_stages: int = 1,
        waiting: MakeWaiting | None = None,
        times: Row[StepTimes] = (),
    ) -> None:
        """waiting: makes the queue, which hears of service; without it, a plain one by `order`. times: of a
        step on each stage, for what a cached page is worth."""
        self._limits = limits
        self._num_stages = num_stages
        self._pages = SequencePages(limits, times=times)
        self._queue: AbstractWaiting = Queue(order) if waiting is None else waiting(self._pages.num_matched)
        self._tells_service = waiting is not None
        self._waiting = WaitingSequences(self._queue, keys=self._pages.keys)
        self._running = RunningSequences()
        self.statistics = GenerationStatistics()
        self._ends = StepEnds(
            limits,
            pages=self._pages,
            running=self._running,
            waiting=self._waiting,
            queue=self._queue,
            statistics=self.statistics,
        )

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running.sequences)

    @property
    def has_eligible(self) -> bool:
        """Whether a running sequence is in no step now."""
        return any(not sequence.is_in_flight for sequence in self._running.sequences)

    @property
    def num_pages(self) -> int:
        return self._limits.num_pages

    @property
    def num_free_pages(self) -> int:
        """Pages that hold nothing, or only prefixes that nobody uses."""
        return self._pages.num_free

    @property
    def num_free_host_pages(self) -> int:
        return self._pages.num_free_host

    def num_matched(self, request: Request) -> int:
        """Tokens of its prompt that the cache of prefixes has now."""
        return self._pages.num_matched(request)

    def head(self) -> Request | None:
        """The request that would be admitted next."""
        return self._waiting.head()

    def head_not_begun(self) -> Request | None:
        """The request that would be admitted next, if nothing of it has been computed."""
        return self._waiting.head_not_begun()

    def can_ever_run(self, request: Request) -> bool:
        num_samples = max(request.num_samples, 1)
        return self._limits.can_ever_run(request.input_tokens, request.output_tokens, num_samples)

    def push(self, request: Request) -> None:
        """A request that can ever run starts to wait."""
        assert self.can_ever_run(request), request
        self._waiting.push(request)

    def drop(self, request_id: int) -> bool:
        """Forget a request. False when a sample is in a step (it goes when that ends), or it is not here."""
        return self._waiting.remove(request_id) or self._ends.discard(request_id)

    def unfinished(self) -> Unfinished:
        """What is left to compute of all that waits and runs; O(n)."""
        return unfinished(self._queue.members(), (*self._waiting.preempted, *self._running.sequences))

    def next_step(self) -> Step | None:
        """The step that starts now; None when nothing can be computed."""
        taken: list[Sequence] = []
        slices: list[int] = []
        budget, num_kv_tokens, num_held = self._continue_running(taken, slices)
        num_continued = len(taken)
        if self._tells_service:
            for sequence, num_tokens in zip(taken, slices, strict=True):
                self._tell_service(sequence, num_tokens)
        if budget and (self._waiting.preempted or len(self._queue)):
            self._admit(taken, slices, budget)
        if not taken:
            return None
        if len(taken) > num_continued:
            for sequence in taken[num_continued:]:
                sequence.is_in_flight = True
                num_kv_tokens += sequence.num_cached
                num_held += sequence.num_held
        moves = self._pages.take_moves() if self._pages.has_moves else NO_MOVES
        step = Step(tuple(taken), tuple(slices), sum(slices), num_kv_tokens, moves)
        if moves is not NO_MOVES:
            self._waiting.went_with(moves)
        self._count(step, num_held)
        return step

    def finish(
        self,
        step: Step,
        *,
        failed: bool = False,
        stopped: Collection[tuple[int, int]] = (),
        full_pages: Collection[tuple[int, int, int, int]] = (),
    ) -> Progress:
        """What came of a step; when it failed, all requests in it are dropped.

        stopped, full_pages: see `vocabulary.messages.BatchFinished`.
        """
        return self._ends.finish(step, failed=failed, stopped=stopped, full_pages=full_pages)

    def _continue_running(self, taken: list[Sequence], slices: list[int]) -> tuple[int, int, int]:
        """Part 1 of the rule. Returns the budget left for others, none when a sequence was preempted; tokens
        of those taken in the cache; and places in their pages."""
        budget = self._limits.max_batched_tokens
        running = self._running.sequences
        num_decoding = -(-len(running) // self._num_stages)
        num_preempted = len(self._waiting.preempted)
        num_kv_tokens = num_held = 0
        take, add = taken.append, slices.append
        # What is preempted leaves the list behind the place where this loop is, or at it.
        for sequence in running:
            if sequence.is_in_flight:
                continue
            num_cached = sequence.num_cached
            num_tokens = sequence.prompt_tokens - num_cached
            if num_tokens <= 0:
                if not num_decoding:
                    continue
                num_decoding -= 1
                num_tokens = 1
            elif num_tokens > budget:
                num_tokens = budget
            held = sequence.num_held
            if num_cached + num_tokens > held:
                if not self._grow(sequence, num_tokens):
                    return 0, num_kv_tokens, num_held
                held = sequence.num_held
            sequence.is_in_flight = True
            num_kv_tokens += num_cached
            num_held += held
            take(sequence)
            add(num_tokens)
            budget -= num_tokens
            if not budget:
                break
        if len(self._waiting.preempted) > num_preempted:
            budget = 0
        return budget, num_kv_tokens, num_held

    def _grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Give a running sequence the pages that it lacks; False when it has to do without."""
        while not self._pages.grow(sequence, num_tokens):
            last = self._running.last_to_give(sequence)
            if last is not None:
                self._preempt(last)
            if last is None or last is sequence:
                return False
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """It waits again, before all others."""
        self._running.remove(sequence)
        self.statistics.num_preempted += 1
        if self._pages.swap_out(sequence):
            self.statistics.num_swapped += 1
        else:
            self.statistics.num_recomputed += sequence.num_cached
            self._pages.leave(sequence)
            sequence.begin_again()
        self._waiting.put_back(sequence)

    def _admit(self, taken: list[Sequence], slices: list[int], budget: int) -> None:
        """Part 2 of the rule."""
        running, max_sequences = self._running, self._limits.max_sequences
        while budget and (num_left := max_sequences - running.num_promised - len(running.sequences)):
            sequence = self._waiting.next()
            if sequence is None or sequence.num_samples > num_left:
                return
            num_stored = sequence.num_cached
            num_tokens = self._pages.start(sequence, budget)
            if not num_tokens:
                return
            self._waiting.pop()
            running.admit(sequence)
            if self._tells_service:
                # Before the next head: who has just been admitted is not before others for it again.
                self._tell_service(sequence, num_tokens)
            taken.append(sequence)
            slices.append(num_tokens)
            budget -= num_tokens
            self.statistics.num_admitted += 1
            self.statistics.num_hit += sequence.num_cached - num_stored

    def _tell_service(self, sequence: Sequence, num_tokens: int) -> None:
        num_input, num_cached = sequence.served(num_tokens)
        num_output = sequence.num_outputs(num_tokens)
        self._queue.served(
            sequence.request, num_input=num_input, num_output=num_output, num_cached=num_cached
        )

    def _count(self, step: Step, num_held: int) -> None:
        statistics = self.statistics
        statistics.num_steps += 1
        statistics.num_tokens += step.num_tokens
        statistics.num_sequence_steps += len(step.slices)
        num_running = len(self._running.sequences)
        if num_running > statistics.max_sequences:
            statistics.max_sequences = num_running
        statistics.num_held += num_held
        statistics.num_stored += step.num_kv_tokens + step.num_tokens
