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
    """Tenants by their counters, the least first; counters may rise at any time. All in O(log n)."""

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
        if len(self._entries) > 2 * len(self._since) + _SPARE_TENANTS:
            since_of = self._since
            self._entries = [entry for entry in self._entries if since_of.get(entry[2]) == entry[1]]
            heapq.heapify(self._entries)

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
            # It was served since: counters only rise, so nobody before it was missed.
            heapq.heapreplace(entries, (current, since, tenant))
        return None

    def __contains__(self, tenant: object) -> bool:
        return tenant in self._since

    def __len__(self) -> int:
        return len(self._since)


@final
class TenantCounters:
    """Of all tenants that had service from one engine, or wait for it in one or more lines.

    A counter is the cost of the service so far by the tenant's weight. The floor, where a tenant starts that
    begins to wait, is the least counter of those who wait; when nobody waits, that of who waited last. An
    idle tenant at or below the floor will be lifted to it anyway, so its counter can be forgotten.
    """

    __slots__ = ("_counter", "_last", "_limit", "_num_lines", "_num_running", "_waiting", "_weights")

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """weights: 1 for a tenant that is not among them."""
        self._weights = dict(weights or {})
        self._counter: dict[str, float] = {}
        self._waiting = LeastServed(self._counter.__getitem__)
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

    def charge(self, tenant: str, cost: float) -> None:
        """Service of a tenant that waits or runs."""
        if tenant in self._weights:
            cost /= self._weights[tenant]
        self._counter[tenant] += cost

    def _forget(self) -> None:
        floor, counter = self.floor, self._counter
        idle = [tenant for tenant in counter if counter[tenant] <= floor and self._is_idle(tenant)]
        for tenant in idle:
            del counter[tenant]
        self._limit = 2 * len(counter) + _SPARE_TENANTS

    def _is_idle(self, tenant: str) -> bool:
        return tenant not in self._num_lines and tenant not in self._num_running and tenant != self._last
