"""Virtual counters of tenants: who had how much service, and where one that comes (back) starts.

"Fairness in Serving Large Language Models" (OSDI 2024), algorithm 2 with both cases of its counter lift, and
tenants with weights. Counters only rise, and so does the floor.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from typing import final

# When and as what the request came with which a tenant began to wait: settles ties between counters.
Since = tuple[float, int]
# Tenants that are kept beyond those needed before anybody looks for those to forget.
_SPARE_TENANTS = 64


@final
class LeastServed:
    """Tenants by their counters, the least first; all in O(log n).

    Counters may rise at any time; where one sinks, `sank` has to be called.
    """

    __slots__ = ("_counter_of", "_entries", "_since")

    def __init__(self, counter_of: Callable[[str], float]) -> None:
        self._counter_of = counter_of
        self._entries: list[tuple[float, Since, str]] = []
        self._since: dict[str, Since] = {}

    def add(self, tenant: str, since: Since) -> None:
        assert tenant not in self._since, tenant
        self._since[tenant] = since
        heapq.heappush(self._entries, (self._counter_of(tenant), since, tenant))

    def discard(self, tenant: str) -> None:
        del self._since[tenant]
        self._limit_entries()

    def sank(self, tenant: str) -> None:
        """The counter of a tenant, perhaps of one that is not here, is less than it was."""
        if tenant in self._since:
            heapq.heappush(self._entries, (self._counter_of(tenant), self._since[tenant], tenant))
            self._limit_entries()

    def first(self) -> str | None:
        """None when there is nobody."""
        entries, since_of = self._entries, self._since
        while entries:
            counter, since, tenant = entries[0]
            if since_of.get(tenant) != since:
                heapq.heappop(entries)
                continue
            current = self._counter_of(tenant)
            if current == counter:
                return tenant
            # It has changed since; where one sinks there is another entry, so nobody was missed.
            heapq.heapreplace(entries, (current, since, tenant))
        return None

    def __contains__(self, tenant: object) -> bool:
        return tenant in self._since

    def __len__(self) -> int:
        return len(self._since)

    def _limit_entries(self) -> None:
        if len(self._entries) > 2 * len(self._since) + _SPARE_TENANTS:
            pairs = self._since.items()
            self._entries = [(self._counter_of(tenant), since, tenant) for tenant, since in pairs]
            heapq.heapify(self._entries)


@final
class TenantCounters:
    """Of all tenants that had service from one engine, or wait for it in one or more lines.

    A counter is the cost of the service so far by the tenant's weight. The floor, where a tenant starts that
    begins to wait, is the least counter of those who wait; when nobody waits, that of who waited last. An
    idle tenant at or below the floor will be lifted to it anyway, so its counter can be forgotten.

    Who is next may also go by service that running requests are still expected to have.
    """

    __slots__ = (
        "_counter",
        "_expected",
        "_last",
        "_limit",
        "_num_lines",
        "_num_running",
        "_orders",
        "_waiting",
        "_weights",
    )

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """weights: 1 for a tenant that is not among them."""
        self._weights = dict(weights or {})
        self._counter: dict[str, float] = {}
        self._expected: dict[str, float] = {}
        self._waiting = LeastServed(self._counter.__getitem__)
        self._orders: list[LeastServed] = []
        self._num_lines: Counter[str] = Counter()
        self._num_running: Counter[str] = Counter()
        # Who waited last: as long as nobody waits, its counter is the floor.
        self._last: str | None = None
        self._limit = _SPARE_TENANTS

    @property
    def floor(self) -> float:
        first = self._waiting.first()
        tenant = self._last if first is None else first
        return 0.0 if tenant is None else self._counter[tenant]

    def of(self, tenant: str) -> float:
        """The counter of a tenant; the floor of one that is not known (any more)."""
        return self._counter.get(tenant, self.floor)

    def order(self) -> LeastServed:
        """For a line: its tenants, by their counters with what is expected."""
        self._orders.append(LeastServed(self._with_expected))
        return self._orders[-1]

    def known(self) -> Mapping[str, float]:
        """Counters that are held: of all that wait or run, and of idle ones above the floor."""
        return self._counter

    def begin_to_wait(self, tenant: str, since: Since) -> None:
        """The tenant's first request comes into a line."""
        self._num_lines[tenant] += 1
        if tenant in self._waiting:
            return
        self._counter[tenant] = max(self._counter.get(tenant, 0.0), self.floor)
        self._waiting.add(tenant, since)
        if len(self._counter) > self._limit:
            self._forget()

    def end_to_wait(self, tenant: str) -> None:
        """A line has no request of the tenant any more."""
        self._num_lines[tenant] -= 1
        if not self._num_lines[tenant]:
            del self._num_lines[tenant]
            self._waiting.discard(tenant)
            self._last = tenant

    def run(self, tenant: str) -> None:
        """A request of the tenant is admitted."""
        self._num_running[tenant] += 1

    def leave(self, tenant: str) -> None:
        """A request of the tenant that was admitted has ended."""
        self._num_running[tenant] -= 1
        if not self._num_running[tenant]:
            del self._num_running[tenant]
            self._expected.pop(tenant, None)

    def charge(self, tenant: str, cost: float, *, expected: float = 0.0) -> None:
        """Service of a tenant that waits or runs; `expected` of the cost was expected."""
        weight = self._weights.get(tenant, 1.0)
        self._counter[tenant] += cost / weight
        if expected:
            self._expected[tenant] -= expected / weight

    def expect(self, tenant: str, cost: float) -> None:
        """Service that a running request of the tenant will have; less than 0: will not have after all."""
        cost /= self._weights.get(tenant, 1.0)
        self._expected[tenant] = self._expected.get(tenant, 0.0) + cost
        if cost < 0:
            for order in self._orders:
                order.sank(tenant)

    def _with_expected(self, tenant: str) -> float:
        return self._counter[tenant] + self._expected.get(tenant, 0.0)

    def _forget(self) -> None:
        floor, counter = self.floor, self._counter
        idle = [tenant for tenant in counter if counter[tenant] <= floor and self._is_idle(tenant)]
        for tenant in idle:
            del counter[tenant]
        self._limit = 2 * len(counter) + _SPARE_TENANTS

    def _is_idle(self, tenant: str) -> bool:
        return tenant not in self._num_lines and tenant not in self._num_running and tenant != self._last
