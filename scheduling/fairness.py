"""Fair queueing of generating requests: the Virtual Token Counter ("Fairness in Serving Large Language
Models", OSDI 2024), work-conserving: who waits and had least service is next (docs/decisions/0029)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import final

from scheduling.fairness_costs import AbstractCost, Service
from scheduling.fairness_counters import TenantCounters
from scheduling.waiting import AbstractWaiting
from vocabulary.request import Request


@final
class VirtualTokenCounter:
    """The tenant with the least counter is next, with the head of its own line `within`.

    Where lengths of answers are predicted, counters count those of running requests ahead: what an answer
    turns out to be shorter is given back when it ends.

    Requests that come in one instant are filed together, in order of arrival: where a counter is lifted to
    depends on who else waits.
    """

    __slots__ = (
        "_arrived",
        "_cost",
        "_counters",
        "_expected",
        "_least",
        "_lines",
        "_predicts",
        "_running",
        "_tenants",
        "_within",
    )

    def __init__(
        self,
        counters: TenantCounters,
        *,
        cost: AbstractCost,
        within: Callable[[], AbstractWaiting],
        predicts: bool = False,
    ) -> None:
        """counters: may be shared by lines whose costs are in one unit."""
        self._counters = counters
        self._cost = cost
        self._within = within
        self._lines: dict[str, AbstractWaiting] = {}
        self._predicts = predicts
        self._least = counters.order()
        self._arrived: list[Request] = []
        # Of requests that are filed; and what those that were popped had.
        self._tenants: dict[int, str] = {}
        self._running: dict[int, Service] = {}
        # Of running requests: the cost of what they are expected to be served yet.
        self._expected: dict[int, float] = {}

    def push(self, request: Request) -> None:
        self._arrived.append(request)

    def head(self) -> Request | None:
        self._file_arrived()
        tenant = self._least.first()
        return None if tenant is None else self._lines[tenant].head()

    def pop(self) -> Request:
        """Remove and return the head; somebody must wait."""
        self._file_arrived()
        tenant = self._least.first()
        assert tenant is not None, "pop from an empty line"
        request = self._lines[tenant].pop()
        self._running[request.id] = Service()
        self._counters.run(tenant)
        if self._predicts:
            self._expect(request)
        self._forget(request.id, tenant)
        return request

    def remove(self, request_id: int) -> bool:
        self._file_arrived()
        tenant = self._tenants.get(request_id)
        if tenant is None:
            return False
        self._lines[tenant].remove(request_id)
        self._forget(request_id, tenant)
        return True

    def members(self) -> Iterator[Request]:
        for line in self._lines.values():
            yield from line.members()
        yield from self._arrived

    def __len__(self) -> int:
        return len(self._tenants) + len(self._arrived)

    def served(self, request: Request, *, num_input: int, num_output: int, num_cached: int) -> None:
        if self._arrived:
            self._file_arrived()
        had = self._running[request.id]
        if num_input or num_cached:
            # Never more of a prompt than its length: after a preemption the cache may know it by itself.
            left = max(request.input_tokens, 1) - had.num_input - had.num_cached
            num_input = min(num_input, left)
            num_cached = min(num_cached, left - num_input)
        more = Service(num_input, num_output, num_cached)
        cost = self._cost.of(more, had, len(self._running))
        expected = 0.0
        if self._predicts and num_output:
            expected = min(cost, self._expected[request.id])
            self._expected[request.id] -= expected
        self._counters.charge(request.tenant, cost, expected=expected)
        had.num_output += num_output
        if num_input or num_cached:
            had.num_input += num_input
            had.num_cached += num_cached
            # The cache of prefixes changes, and with it the order within a line may.
            for line in self._lines.values():
                line.served(request, num_input=num_input, num_output=num_output, num_cached=num_cached)

    def left(self, request: Request) -> None:
        self._file_arrived()
        del self._running[request.id]
        if self._predicts:
            self._counters.expect(request.tenant, -self._expected.pop(request.id))
        self._counters.leave(request.tenant)
        for line in self._lines.values():
            line.left(request)

    def _expect(self, request: Request) -> None:
        """Its answers as long as predicted: its prompt counts when it is computed, in a moment."""
        answers = Service(num_output=request.predicted_tokens * max(request.num_samples, 1))
        prompt = Service(num_input=max(request.input_tokens, 1), num_output=1)
        cost = self._cost.of(answers, prompt, len(self._running))
        self._expected[request.id] = cost
        self._counters.expect(request.tenant, cost)

    def _file_arrived(self) -> None:
        if not self._arrived:
            return
        arrived, self._arrived = self._arrived, []
        if len(arrived) > 1:
            arrived.sort(key=attrgetter("arrival_s", "id"))
        for request in arrived:
            self._file(request)

    def _file(self, request: Request) -> None:
        assert request.id not in self._tenants, request
        tenant, since = request.tenant, (request.arrival_s, request.id)
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = self._within()
            self._counters.begin_to_wait(tenant, since)
            self._least.add(tenant, since)
        self._tenants[request.id] = tenant
        line.push(request)

    def _forget(self, request_id: int, tenant: str) -> None:
        """The request waits no more."""
        del self._tenants[request_id]
        if not self._lines[tenant]:
            del self._lines[tenant]
            self._least.discard(tenant)
            self._counters.end_to_wait(tenant)
