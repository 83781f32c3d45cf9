"""What the end of a step changes: part 3 of the rule of `scheduling.generation`, forks, and who leaves."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

from scheduling.generation_sequence import Progress, Sequence, Step
from scheduling.running_sequences import RunningSequences
from scheduling.sequence_pages import SequencePages
from scheduling.waiting import AbstractWaiting
from scheduling.waiting_sequences import WaitingSequences
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics


@final
class StepEnds:
    """Ends steps and requests, for a scheduler that begins them; both change the same sequences."""

    def __init__(
        self,
        limits: GenerationLimits,
        *,
        pages: SequencePages,
        running: RunningSequences,
        waiting: WaitingSequences,
        queue: AbstractWaiting,
        statistics: GenerationStatistics,
    ) -> None:
        """queue: hears of requests that have ended."""
        self._limits = limits
        self._pages = pages
        self._running = running
        self._waiting = waiting
        self._queue = queue
        self._statistics = statistics

    def finish(
        self,
        step: Step,
        *,
        failed: bool,
        stopped: Collection[tuple[int, int]],
        full_pages: Collection[tuple[int, int, int, int]],
    ) -> Progress:
        """See `scheduling.generation.GenerationScheduler.finish`."""
        if failed:
            self._fail(step)
        elif stopped or full_pages:
            step.hear_stopped(stopped)
            if self._limits.has_prefix_cache:
                step.hear_full_pages(full_pages, page_tokens=self._limits.page_tokens)
        firsts: list[int] = []
        finished: list[int] = []
        gone: list[Sequence] = []
        num_emitted = 0
        has_left = False
        for sequence, num_tokens in zip(step.sequences, step.slices, strict=True):
            sequence.is_in_flight = False
            num_cached = sequence.num_cached = sequence.num_cached + num_tokens
            num_more = num_cached - sequence.prompt_tokens
            if sequence.is_dropped:
                has_left = True
                if self._end(sequence):
                    gone.append(sequence)
            elif num_more >= 0:
                if num_more < num_tokens:
                    num_emitted += self._complete_prompt(sequence, stopped)
                num_emitted += 1
                nth = sequence.num_emitted = sequence.num_emitted + 1
                if nth == 1:
                    firsts.append(sequence.request.id)
                if nth == sequence.output_tokens:
                    has_left = True
                    if self._end(sequence):
                        finished.append(sequence.request.id)
        if has_left:
            self._running.remove_gone()
        self._statistics.num_emitted += num_emitted
        if not gone:
            return Progress(num_emitted, tuple(firsts), tuple(finished))
        dropped = tuple([one.request.id for one in gone if not one.answers.is_failed])
        broken = tuple([one.request.id for one in gone if one.answers.is_failed])
        return Progress(num_emitted, tuple(firsts), tuple(finished), dropped, broken)

    def discard(self, request_id: int) -> bool:
        """All samples of a request that was admitted. False while one is in a step, with which it goes."""
        has_ended = False
        for sequence in self._waiting.remove_preempted(request_id):
            has_ended = self._end(sequence)
        for sequence in self._running.of_request(request_id):
            if sequence.is_in_flight:
                sequence.is_dropped = True
            else:
                self._running.remove(sequence)
                has_ended = self._end(sequence)
        return has_ended

    def _complete_prompt(self, sequence: Sequence, stopped: Collection[tuple[int, int]]) -> int:
        """It becomes known, and answers begin; returns the tokens that samples beside the first emit."""
        self._pages.make_known(sequence)
        if sequence.num_samples == 1:
            return 0
        others = self._pages.fork(sequence)
        self._running.fork(sequence, others)
        for other in others:
            other.num_emitted = 1
            if other.output_tokens == 1 or (other.request.id, other.sample) in stopped:
                self._end(other)
        # The first sample may go on where others end with their first token.
        self._running.remove_gone()
        return len(others)

    def _fail(self, step: Step) -> None:
        """Requests of the step go with it; so do tokens that were on their way to the host before it."""
        lost = list(step.sequences)
        if step.moves.to_host:
            # With stages, one can have come back in a later step that has not ended, with whatever is there.
            lost += [one for one in self._running.sequences if one.moved_with is step.moves]
            for sequence in self._waiting.preempted:
                if sequence.moved_with is step.moves:
                    self._statistics.num_recomputed += sequence.num_cached
                    self._pages.forget_host(sequence)
                    sequence.begin_again()
        for sequence in lost:
            sequence.answers.is_failed = True
        for request_id in dict.fromkeys([sequence.request.id for sequence in lost]):
            self.discard(request_id)

    def _end(self, sequence: Sequence) -> bool:
        """It runs and waits no more; whether its request has no other sample that does."""
        answers = sequence.answers
        self._pages.leave(sequence, is_sound=not answers.is_failed)
        answers.num_live -= 1
        if answers.num_live:
            return False
        self._pages.give_back_reserve(sequence)
        self._queue.left(sequence.request)
        return True
