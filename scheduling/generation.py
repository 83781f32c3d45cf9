"""Continuous batching: which sequences of a generating model take the next step, and with how many tokens.

After Orca (iteration-level scheduling), vLLM (pages, preemption by recomputing), Sarathi (chunked prompts).
The rule, all of it within one instant (docs/decisions/0005-generation-in-the-group-scheduler.md):

1. Running sequences in order of admission: one whose prompt is computed computes 1 token, another as much of
   its prompt as the budget of the step leaves. Pages that it lacks are free ones, then unused ones of cached
   prefixes, then those of the running sequence admitted last (perhaps itself), which returns to the head of
   the queue with all that it has emitted as part of its prompt.
2. If nothing was preempted: waiting requests in their order, until one does not fit the sequences, the budget
   or the pages; unused pages of cached prefixes count as free. A prompt begins with the pages that the cache
   knows; at least one of its tokens is computed.
3. When the step ends, in its order: a prompt that is complete becomes known to the cache and its sequence
   emits a token, as decoding ones do; a sequence that has emitted all its tokens gives its pages back.

With p stages, p steps overlap: a step takes at most a p-th (rounded up) of the running sequences for
decoding, and none that is in another step. Nor is one preempted that is in another step: when all that were
admitted later are, a sequence keeps its pages and waits for one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import final

from scheduling.generation_sequence import Progress, Sequence, Step
from scheduling.pages import PagePool
from scheduling.prefixes import AbstractPrefixes, NoPrefixes, PageKey, PrefixCache
from scheduling.queueing import Key, Queue
from vocabulary.generation import GenerationLimits
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.request import Request


@final
class GenerationScheduler:
    """Answers every request that it is given, or drops it when told to. Knows no time."""

    def __init__(
        self, limits: GenerationLimits, *, order: Callable[[Request], Key], num_stages: int = 1
    ) -> None:
        self._limits = limits
        self._num_stages = num_stages
        self._pool = PagePool(limits.num_pages)
        self._prefixes: AbstractPrefixes = (
            PrefixCache(self._pool) if limits.has_prefix_cache else NoPrefixes(self._pool)
        )
        self._queue = Queue(order)
        # Before all that waits: those that gave their pages back.
        self._preempted: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        # The head of the queue when it did not fit, so that its keys are made once.
        self._tried: Sequence | None = None
        self.statistics = GenerationStatistics()

    @property
    def num_waiting(self) -> int:
        return len(self._queue) + len(self._preempted)

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def has_eligible(self) -> bool:
        """Whether a running sequence is in no step now."""
        return any(not sequence.is_in_flight for sequence in self._running)

    @property
    def num_free_pages(self) -> int:
        """Pages that hold nothing, or only prefixes that nobody uses."""
        return self._pool.num_free + self._prefixes.num_unused

    def head(self) -> Request | None:
        """The request that would be admitted next."""
        return self._preempted[0].request if self._preempted else self._queue.head()

    def head_not_begun(self) -> Request | None:
        """The request that would be admitted next, if nothing of it has been computed."""
        return None if self._preempted else self._queue.head()

    def can_ever_run(self, request: Request) -> bool:
        return self._limits.can_ever_run(request.input_tokens, request.output_tokens)

    def push(self, request: Request) -> None:
        """A request that can ever run starts to wait."""
        assert self.can_ever_run(request), request
        self._queue.push(request)

    def drop(self, request_id: int) -> bool:
        """Forget a request. False when it is in a step (it is dropped when that ends), or not here."""
        if self._queue.remove(request_id):
            return True
        for sequence in self._preempted:
            if sequence.request.id == request_id:
                self._preempted.remove(sequence)
                return True
        for sequence in self._running:
            if sequence.request.id == request_id:
                if sequence.is_in_flight:
                    sequence.is_dropped = True
                    return False
                self._leave(sequence)
                self._running.remove(sequence)
                return True
        return False

    def next_step(self) -> Step | None:
        """The step that starts now; None when nothing can be computed."""
        taken: list[Sequence] = []
        slices: list[int] = []
        budget = self._continue_running(taken, slices)
        if budget and (self._preempted or len(self._queue)):
            self._admit(taken, slices, budget)
        if not taken:
            return None
        num_kv_tokens = num_held = 0
        for sequence in taken:
            sequence.is_in_flight = True
            num_kv_tokens += sequence.num_cached
            num_held += sequence.num_held
        step = Step(tuple(taken), tuple(slices), sum(slices), num_kv_tokens)
        self._count(step, num_held)
        return step

    def finish(self, step: Step, *, failed: bool = False) -> Progress:
        """What came of a step; when it failed, all of its sequences are dropped."""
        firsts: list[int] = []
        finished: list[int] = []
        dropped: list[int] = []
        num_emitted = 0
        for sequence, num_tokens in zip(step.sequences, step.slices, strict=True):
            sequence.is_in_flight = False
            sequence.num_cached += num_tokens
            if failed or sequence.is_dropped:
                dropped.append(sequence.request.id)
                self._leave(sequence)
            elif sequence.num_cached >= sequence.prompt_tokens:
                if sequence.num_keyed < len(sequence.keys):
                    self._make_known(sequence)
                num_emitted += 1
                sequence.num_emitted += 1
                if sequence.num_emitted == 1:
                    firsts.append(sequence.request.id)
                if sequence.num_emitted == sequence.output_tokens:
                    finished.append(sequence.request.id)
                    self._leave(sequence)
        if finished or dropped:
            # Those that left have no pages.
            self._running = [sequence for sequence in self._running if sequence.pages]
        self.statistics.num_emitted += num_emitted
        return Progress(num_emitted, tuple(firsts), tuple(finished), tuple(dropped))

    def _continue_running(self, taken: list[Sequence], slices: list[int]) -> int:
        """Part 1 of the rule. Returns the budget left for others: none when a sequence was preempted."""
        budget = self._limits.max_batched_tokens
        num_decoding = -(-len(self._running) // self._num_stages)
        num_preempted = len(self._preempted)
        # What is preempted leaves the list behind the place where this loop is, or at it.
        for sequence in self._running:
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
            if num_cached + num_tokens > sequence.num_held and not self._grow(sequence, num_tokens):
                return 0
            taken.append(sequence)
            slices.append(num_tokens)
            budget -= num_tokens
            if not budget:
                break
        return budget if len(self._preempted) == num_preempted else 0

    def _grow(self, sequence: Sequence, num_tokens: int) -> bool:
        """Give a running sequence the pages that it lacks; False when it has to do without."""
        needed = self._limits.pages_of(sequence.num_cached + num_tokens) - len(sequence.pages)
        while (missing := needed - self._pool.num_free) > 0:
            if self._prefixes.num_unused:
                self._prefixes.evict(min(missing, self._prefixes.num_unused))
                continue
            last = self._last_to_give(sequence)
            if last is not None:
                self._preempt(last)
            if last is None or last is sequence:
                return False
        self._hold(sequence, self._pool.take(needed))
        return True

    def _last_to_give(self, sequence: Sequence) -> Sequence | None:
        """Who was admitted last, of `sequence` and those after it that are in no step.

        None when others after it are in steps. Their pages come sooner or later; if it gave up its own for
        them, two prompts could take turns for ever.
        """
        running = self._running
        if running[-1] is sequence:
            return sequence
        last = next(one for one in reversed(running) if not one.is_in_flight)
        return None if last is sequence else last

    def _preempt(self, sequence: Sequence) -> None:
        """It waits again, before all others, with all that it has emitted in its prompt."""
        self._running.remove(sequence)
        self.statistics.num_preempted += 1
        self.statistics.num_recomputed += sequence.num_cached
        self._leave(sequence)
        sequence.prompt_tokens = max(sequence.request.input_tokens, 1) + sequence.num_emitted
        sequence.num_cached = sequence.num_keyed = 0
        self._preempted.appendleft(sequence)

    def _admit(self, taken: list[Sequence], slices: list[int], budget: int) -> None:
        """Part 2 of the rule."""
        while budget and len(self._running) < self._limits.max_sequences:
            sequence = self._next_waiting()
            if sequence is None:
                return
            num_tokens = self._start(sequence, budget)
            if not num_tokens:
                return
            self._pop_waiting()
            self._running.append(sequence)
            taken.append(sequence)
            slices.append(num_tokens)
            budget -= num_tokens

    def _next_waiting(self) -> Sequence | None:
        if self._preempted:
            return self._preempted[0]
        request = self._queue.head()
        if request is None:
            return None
        if self._tried is None or self._tried.request.id != request.id:
            self._tried = Sequence(request, self._keys(request))
        return self._tried

    def _pop_waiting(self) -> None:
        if self._preempted:
            self._preempted.popleft()
        else:
            self._queue.pop()
            self._tried = None

    def _keys(self, request: Request) -> list[PageKey]:
        if request.prefix is None or not self._limits.has_prefix_cache:
            return []
        return request.prefix.page_keys(request.input_tokens, self._limits.page_tokens)

    def _start(self, sequence: Sequence, budget: int) -> int:
        """Give a waiting sequence its first pages; returns the tokens it computes, 0 when it must wait."""
        limits, prefixes = self._limits, self._prefixes
        hit = prefixes.match(sequence.keys[: (sequence.prompt_tokens - 1) // limits.page_tokens])
        num_hit = len(hit) * limits.page_tokens
        rest = sequence.prompt_tokens - num_hit
        if rest > budget and not limits.is_chunked:
            return 0
        num_tokens = min(rest, budget)
        # The last token of an answer takes no place.
        most = sequence.prompt_tokens + sequence.output_tokens - sequence.num_emitted - 1
        needed = limits.pages_of(most if limits.reserves_output else num_hit + num_tokens) - len(hit)
        if needed > self.num_free_pages - prefixes.num_unused_of(hit):
            return 0
        prefixes.use(hit)
        prefixes.evict(max(0, needed - self._pool.num_free))
        self._hold(sequence, hit + self._pool.take(needed))
        sequence.num_cached = num_hit
        sequence.num_keyed = len(hit)
        self.statistics.num_admitted += 1
        self.statistics.num_hit += num_hit
        return num_tokens

    def _make_known(self, sequence: Sequence) -> None:
        """The pages of a prompt that is complete can begin other sequences."""
        self._prefixes.insert(sequence.keys, sequence.pages)
        sequence.num_keyed = len(sequence.keys)

    def _hold(self, sequence: Sequence, pages: list[int]) -> None:
        sequence.pages += pages
        sequence.num_held = len(sequence.pages) * self._limits.page_tokens

    def _leave(self, sequence: Sequence) -> None:
        self._prefixes.give_back(sequence.pages)
        sequence.pages = []
        sequence.num_held = 0

    def _count(self, step: Step, num_held: int) -> None:
        statistics = self.statistics
        statistics.num_steps += 1
        statistics.num_tokens += step.num_tokens
        statistics.num_sequence_steps += len(step.slices)
        if len(self._running) > statistics.max_sequences:
            statistics.max_sequences = len(self._running)
        statistics.num_held += num_held
        statistics.num_stored += step.num_kv_tokens + step.num_tokens
