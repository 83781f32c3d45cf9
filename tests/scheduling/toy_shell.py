"""Runs a scheduler of generation on the toy engine, and checks the invariants of pages at every step."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduling.generation import GenerationScheduler
from scheduling.generation_sequence import Step
from scheduling.queueing import ORDERS
from tests.scheduling.generating import Ledger
from tests.scheduling.toy_engine import END, ToyStage, drawn, stored_values
from vocabulary.generation import GenerationLimits, Prefix, StepTimes
from vocabulary.messages import Slice
from vocabulary.request import Request


@dataclass(frozen=True)
class Ask:
    """A prompt, the most tokens of each answer, how many answers; more: prompts of later turns, after the
    first answer."""

    prompt: tuple[int, ...]
    output_tokens: int
    num_samples: int = 1
    more: tuple[tuple[int, ...], ...] = ()


def key_hash(tokens: Sequence[int]) -> int:
    return hash((*tokens, 11))


def request_of(ask: Ask, request_id: int, page_tokens: int) -> Request:
    ends = range(page_tokens, len(ask.prompt) + 1, page_tokens)
    prefix = Prefix(tuple(key_hash(ask.prompt[:end]) for end in ends), page_tokens)
    lengths = {"input_tokens": len(ask.prompt), "output_tokens": ask.output_tokens}
    return Request(request_id, "m", 0.0, prefix=prefix, num_samples=ask.num_samples, **lengths)


@dataclass
class ToyShell:
    """Steps enter the first stage when they are made, and the others when they end, in their order. One that
    fails moves and computes nothing, and that is heard when it ends."""

    limits: GenerationLimits
    num_stages: int = 1
    moves_at_once: bool = False
    asks: dict[int, Ask] = field(default_factory=dict)
    # Prompt and answer, by (request id, sample).
    texts: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    served: Counter = field(default_factory=Counter)
    gone: Counter = field(default_factory=Counter)
    firsts: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        limits, sizes = self.limits, StepTimes(1.0, 0.1, 0.01)
        times = (sizes,) * self.num_stages
        self.scheduler = GenerationScheduler(
            limits, order=ORDERS["fcfs"], num_stages=self.num_stages, waiting=Ledger, times=times
        )
        self.stages = [
            ToyStage(
                num_pages=limits.num_pages,
                num_host_pages=limits.num_host_pages,
                page_tokens=limits.page_tokens,
                moves_at_once=self.moves_at_once,
            )
            for _ in range(self.num_stages)
        ]
        # With what the first stage stored, None of a step that fails.
        self.in_flight: deque[tuple[Step, tuple[Slice, ...], list[list[int]] | None]] = deque()

    def push(self, ask: Ask, request_id: int) -> bool:
        """False when it can never run."""
        request = request_of(ask, request_id, self.limits.page_tokens)
        if not self.scheduler.can_ever_run(request):
            return False
        self.asks[request_id] = ask
        for sample in range(ask.num_samples):
            # A prompt begins with at least one token.
            self.texts[request_id, sample] = list(ask.prompt) or [END]
        self.scheduler.push(request)
        return True

    def answer(self, request_id: int, sample: int = 0) -> list[int]:
        return self.texts[request_id, sample][max(len(self.asks[request_id].prompt), 1) :]

    def run(self) -> None:
        """Until nothing is left."""
        for _ in range(5_000):
            if not self.turn():
                return
        raise AssertionError("livelock")

    def turn(self, *, fails: bool = False) -> bool:
        """Make a step where a stage is free, else end one; False when nothing is left."""
        has_room = len(self.in_flight) < self.num_stages
        step = self.scheduler.next_step() if has_room else None
        self.check_pages()
        if step is not None:
            self._start(step, fails=fails)
        elif self.in_flight:
            self._end()
            self.check_pages()
        else:
            # I4: with nothing in flight, whatever is there makes progress.
            assert self.scheduler.num_waiting == self.scheduler.num_running == 0, "runnable work and no step"
            return False
        return True

    def drop(self, request_id: int) -> bool:
        if is_gone := self.scheduler.drop(request_id):
            self.gone[request_id] += 1
        return is_gone

    def _start(self, step: Step, *, fails: bool) -> None:
        slices = step.told_slices()
        self._check_step(step, slices)
        values = None
        if not fails:
            self.stages[0].move(step.moves)
            values = [self.stages[0].run(one, self._tokens(one)) for one in slices]
            self._check_contents()
        self.in_flight.append((step, slices, values))

    def _tokens(self, one: Slice) -> list[int]:
        tokens = self.texts[one.request_id, one.sample][one.start : one.start + one.num_tokens]
        assert len(tokens) == one.num_tokens, f"{one} asks for tokens that nobody has drawn"
        return tokens

    def _end(self) -> None:
        step, slices, values = self.in_flight.popleft()
        if values is None:
            progress = self.scheduler.finish(step, failed=True)
        else:
            for stage in self.stages[1:]:
                stage.move(step.moves)
                values = [stage.run(one, rows) for one, rows in zip(slices, values, strict=True)]
            stopped, full_pages = self._draw(slices)
            progress = self.scheduler.finish(step, stopped=stopped, full_pages=full_pages)
        self.firsts.update(progress.first_token_ids)
        self.served.update(progress.finished_ids)
        self.gone.update(progress.dropped_ids + progress.failed_ids)
        for request_id in progress.finished_ids:
            self._check_service(request_id)
            self._go_on(request_id)

    def _draw(self, slices: Sequence[Slice]) -> tuple[list[tuple[int, int]], list[tuple[int, int, int, int]]]:
        stopped, full_pages = [], []
        for one in slices:
            full_pages += self._filled(one)
            for sample in range(one.sample, one.sample + one.num_outputs):
                values = self.stages[-1].read(one.pages, one.start + one.num_tokens)
                token = drawn(values, one.request_id, sample)
                self.texts[one.request_id, sample].append(token)
                if token == END:
                    stopped.append((one.request_id, sample))
        return stopped, full_pages

    def _filled(self, one: Slice) -> list[tuple[int, int, int, int]]:
        page_tokens, text = self.limits.page_tokens, self.texts[one.request_id, one.sample]
        first = max(one.start, len(self.asks[one.request_id].prompt)) // page_tokens
        last = (one.start + one.num_tokens) // page_tokens
        return [
            (one.request_id, one.sample, page, key_hash(text[: (page + 1) * page_tokens]))
            for page in range(first, last)
        ]

    def _go_on(self, request_id: int) -> None:
        """The next turn: the prompt, the first answer, and more."""
        ask = self.asks[request_id]
        if ask.more:
            prompt = (*self.texts[request_id, 0], *ask.more[0])
            self.push(Ask(prompt, ask.output_tokens, ask.num_samples, ask.more[1:]), request_id + 100)

    def _check_service(self, request_id: int) -> None:
        """The queue has heard of every token once: of the prompt, computed or found, and of all answers."""
        ask, ledger = self.asks[request_id], self.scheduler._queue
        num_input, num_output, num_cached = ledger.totals(request_id)
        assert num_input + num_cached == max(len(ask.prompt), 1)
        assert num_output == sum(len(self.answer(request_id, sample)) for sample in range(ask.num_samples))
        assert ledger.gone.count(request_id) == 1

    def _check_step(self, step: Step, slices: Sequence[Slice]) -> None:
        """I2: no page that is written has another owner. I4: nothing above the limits."""
        limits, pool = self.limits, self.scheduler._pages._pool
        assert 0 < step.num_tokens == sum(step.slices) <= limits.max_batched_tokens
        assert min(step.slices) > 0
        assert self.scheduler.num_running <= limits.max_sequences
        assert sum(one.num_outputs for one in slices) <= limits.max_sequences
        assert step.num_kv_tokens == sum(one.start for one in slices)
        for one in slices:
            end = one.start + one.num_tokens
            assert end <= len(one.pages) * limits.page_tokens
            written = one.pages[one.start // limits.page_tokens : (end - 1) // limits.page_tokens + 1]
            assert all(pool.num_owners(page) == 1 for page in written), f"{one} writes to a shared page"

    def _check_contents(self) -> None:
        """I3: every token of a running sequence is where its table says, on the first stage.

        But for those in a step that will fail, or that went to the host with one.
        """
        failing = [step for step, _, values in self.in_flight if values is None]
        lost = {id(one) for step in failing for one in step.sequences}
        for one in self.scheduler._running.sequences:
            if id(one) in lost or any(one.moved_with is step.moves for step in failing if step.moves.to_host):
                continue
            text = self.texts[one.request.id, one.sample][: one.num_cached]
            found = self.stages[0].read(one.pages, one.num_cached)
            assert found == stored_values(text, num_stages=1), f"{one.request.id}/{one.sample} lost tokens"

    def check_pages(self) -> None:
        """I1: a page is free, or owned by all who name it, on the device and on the host."""
        pages, running = self.scheduler._pages, self.scheduler._running.sequences
        preempted = self.scheduler._waiting.preempted
        pages._prefixes.check()
        known = set(getattr(pages._prefixes, "_key_of", ()))
        reserves = {id(one.answers): one.answers.reserve for one in running}
        named = Counter(page for one in running for page in one.pages)
        named.update(page for reserve in reserves.values() for page in reserve)
        pool, host = pages._pool, pages._host
        assert all(pool.num_owners(page) == named[page] + (page in known) for page in range(pool.num_pages))
        assert pool.num_free == pool.num_pages - len(set(named) | known)
        assert not any(one.pages for one in preempted)
        on_host = Counter(page for one in preempted for page in one.host_pages)
        assert max(on_host.values(), default=1) == 1
        assert all(host.num_owners(page) == on_host[page] for page in range(host.num_pages))
        page_tokens = self.limits.page_tokens
        for one in running:
            assert len(one.pages) * page_tokens >= one.num_held >= one.num_cached
            # Only full pages are known to the cache.
            assert all(page not in known for page in one.pages[one.num_cached // page_tokens :])
