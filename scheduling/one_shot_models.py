"""The one-shot requests of a group: their line, and which of them run together next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import final

import msgspec

from scheduling.batching import BATCHING, Situation
from scheduling.pipeline import PipelineClock
from scheduling.queueing import ORDERS, Queue
from vocabulary.catalog import BatchCosts, Catalog, StageSeconds
from vocabulary.deployment import Policy
from vocabulary.parallel import ParallelConfig
from vocabulary.request import Request


class TakenBatch(msgspec.Struct, frozen=True):
    """Requests of one model that run together, and seconds of each stage."""

    model: str
    requests: tuple[Request, ...]
    stages_s: StageSeconds


@final
class OneShotModels:
    """All that a group machine asks of requests that are answered at once. clock: of the group's stages."""

    def __init__(
        self,
        models: Sequence[str],
        *,
        config: ParallelConfig,
        catalog: Catalog,
        policy: Policy,
        clock: PipelineClock,
    ) -> None:
        self._config = config
        self._costs: dict[str, BatchCosts] = {}
        self._overhead_s = catalog.latency.fixed_overhead_s
        self._drops_late = policy.admission == "slo"
        self._batch_size = BATCHING[policy.batching]
        self._max_batch_size = policy.max_batch_size
        self._order = ORDERS[policy.queue]
        self._queue = Queue(self._order)
        # A batch takes requests of one model, in order; without batching the one queue is enough.
        self._is_batching = policy.batching != "none"
        self._by_model: dict[str, Queue] = {}
        self._clock = clock
        for model in models:
            self.add(model, catalog=catalog)

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    def __contains__(self, model: str) -> bool:
        return model in self._costs

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._costs)

    def add(self, model: str, *, catalog: Catalog) -> None:
        assert model not in self._costs, model
        self._costs[model] = catalog.costs(model, self._config)
        if self._is_batching:
            self._by_model[model] = Queue(self._order)

    def remove(self, model: str) -> None:
        """No request of the model waits."""
        assert not self.num_waiting()[model], model
        del self._costs[model]
        self._by_model.pop(model, None)

    def push(self, request: Request) -> None:
        self._queue.push(request)
        if self._is_batching:
            self._by_model[request.model].push(request)

    def drop(self, request_id: int) -> bool:
        """Forget a request; False if it does not wait here."""
        found = self._queue.remove(request_id)
        if found:
            for queue in self._by_model.values():
                queue.remove(request_id)
        return found

    def head(self) -> Request | None:
        """Who runs next."""
        return self._queue.head()

    def pop_late(self, now_s: float) -> tuple[int, ...]:
        """Remove heads that would end late even alone: a reordering or a delay made them so."""
        late: list[int] = []
        while self._drops_late and (head := self._queue.head()) is not None:
            finish_s = self._clock.finish_s(now_s, self._costs[head.model].single)
            if head.is_in_time(finish_s + self._overhead_s):
                break
            late.append(self._pop_head().id)
        return tuple(late)

    def take(self, head: Request, now_s: float) -> TakenBatch:
        """The head and those of its model that run with it: they wait no more."""
        costs = self._costs[head.model]
        requests = self._pop_batch(head, now_s) if self._is_batching else (self._queue.pop(),)
        return TakenBatch(head.model, requests, costs.of(len(requests)))

    def num_waiting(self) -> Counter[str]:
        """Of each model; O(n)."""
        waiting = Counter(dict.fromkeys(self._costs, 0))
        waiting.update([request.model for request in self._queue.members()])
        return waiting

    def backlog_s(self) -> list[StageSeconds]:
        """Of each model, seconds of each stage for all that waits, one at a time; O(n)."""
        return [
            tuple([num * stage_s for stage_s in self._costs[model].single])
            for model, num in self.num_waiting().items()
        ]

    def _pop_batch(self, head: Request, now_s: float) -> tuple[Request, ...]:
        queue, costs = self._by_model[head.model], self._costs[head.model]
        situation = Situation(now_s, queue, costs, self._clock, self._overhead_s, self._max_batch_size)
        members = tuple(queue.pop() for _ in range(self._batch_size(situation)))
        for request in members:
            self._queue.remove(request.id)
        return members

    def _pop_head(self) -> Request:
        head = self._queue.pop()
        if self._is_batching:
            self._by_model[head.model].remove(head.id)
        return head
