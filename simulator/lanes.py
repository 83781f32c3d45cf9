"""Many candidates at once: placements of one layout scored in lockstep, each a lane of wide instructions.

A search asks many candidates the same questions, so a request is read once for sixteen of them, and
nothing branches on what becomes of it. Counts equal those of `fast.Scorer` to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from typing import TYPE_CHECKING, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from simulator.fast import Tally, supports
from simulator.fast_costs import Content, Layout, StageTable, num_by_model, unwritable
from simulator.fast_queues import may_overflow
from simulator.lanes_source import ROUTERS, Kernel, source_of
from vocabulary.deployment import Deployment
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S

if TYPE_CHECKING:  # numba takes half a second to import: only who scores pays for it
    from simulator.lanes_tables import Counts, Lockstep


def lanes_support(deployment: Deployment, *, num_requests: int) -> bool:
    """Whether lanes count the same as the scalar scorer, for a trace of that length.

    They keep no lists of requests: neither the number in flight is known to them nor whether a queue is full,
    so it has to be certain that none ever is.
    """
    policy = deployment.policy
    if not supports(policy) or policy.one_shot_router not in ROUTERS:
        return False
    num_groups = deployment.cluster.num_devices
    return not may_overflow(deployment, num_requests=num_requests, num_groups=num_groups)


class LaneCounts(NamedTuple):
    """As `fast.Tally`, of many candidates.

    num_good: int64 [candidates, models]; num_routed: int64 [candidates, groups, models]; total_latency_s:
    float64 [candidates].
    """

    num_good: NDArray[np.int64]
    num_routed: NDArray[np.int64]
    total_latency_s: NDArray[np.float64]


@final
class LaneScorer:
    """Counts for many placements on one trace under one deployment. May be used by several threads.

    num_requests: int64 [models], of the rows that count.
    """

    def __init__(
        self, trace: Trace, *, deployment: Deployment, trim_s: float = 0.0, table: StageTable | None = None
    ) -> None:
        assert trace.models == deployment.model_names, "align the trace to the deployment first"
        assert len(trace) < 2**31, "more requests than the lanes' counts hold"
        assert lanes_support(deployment, num_requests=len(trace)), deployment.policy
        self._trace = trace
        self._num_devices = deployment.cluster.num_devices
        self._policy = deployment.policy
        self._terms_s = (deployment.latency.fixed_overhead_s, deployment.policy.slack_s)
        self._latest_s = np.array([m.slo_s(deployment.latency) for m in deployment.models]) + TIME_TOLERANCE_S
        self._rows = kept_rows(trace, trim_s)
        self.num_requests = num_by_model(trace.model_index[self._rows], len(trace.models))
        self.table = table or StageTable(trace.models, deployment.catalog())

    def tallies(self, layout: Layout, contents: Sequence[Content], *, num_threads: int = 1) -> list[Tally]:
        """Counts over the trimmed trace for each content of the layout, in order."""
        held = held_of(contents, num_groups=len(layout), num_models=self.table.num_models)
        counts = self.counts(layout, held, num_threads=num_threads)
        num_routed = counts.num_routed.sum(axis=2)
        rows = zip(counts.num_good, num_routed, counts.total_latency_s.tolist(), strict=True)
        return [Tally(good, self.num_requests, routed, total_s) for good, routed, total_s in rows]

    def counts(self, layout: Layout, held: NDArray[np.bool_], *, num_threads: int = 1) -> LaneCounts:
        """The same as arrays, for contents as an array: bool [candidates, groups, models].

        Sixteen take as long as one; each thread takes sixteen at a time.
        """
        from simulator.lanes_vectors import LANES

        assert len(layout) <= self._num_devices, (len(layout), self._num_devices)
        batches = [held[start : start + LANES] for start in range(0, len(held), LANES)]
        if num_threads == 1 or len(batches) < 2:
            parts = [self._lockstep(layout, batch) for batch in batches]
        else:
            with ThreadPoolExecutor(num_threads) as pool:
                parts = list(pool.map(self._lockstep, repeat(layout), batches))
        if len(parts) == 1:
            return parts[0]
        num_models = self.table.num_models
        none = LaneCounts(
            np.zeros((0, num_models), np.int64), np.zeros((0, len(layout), num_models), np.int64), np.zeros(0)
        )
        return LaneCounts(*(np.concatenate(columns) for columns in zip(*(parts or [none]), strict=True)))

    def _lockstep(self, layout: Layout, held: NDArray[np.bool_]) -> LaneCounts:
        from simulator.lanes_tables import Lockstep

        lockstep = Lockstep(layout, held, self.table, self._latest_s)
        counts = self._counted(lockstep)
        used = slice(len(held))
        return LaneCounts(
            lockstep.num_good(counts)[used], lockstep.num_routed(counts)[used], counts.total_s[used]
        )

    def _counted(self, lockstep: Lockstep) -> Counts:
        from simulator import lanes_vectors
        from simulator.fast_programs import compiled

        admits_all = self._policy.admission == "none"
        kernel = Kernel(lockstep.num_stages, self._policy.one_shot_router, admits_all, lockstep.is_mixed)
        replay = compiled(source_of(kernel), inlined=(lanes_vectors,))
        arrival_s, model_index = unwritable(self._trace.arrival_s), unwritable(self._trace.model_index)
        tables, clocks_s, places = lockstep.tables, lockstep.clocks_s(), lockstep.places()
        # What comes before the rows that count only takes its time; what comes after them changes nothing.
        begin, end, _ = self._rows.indices(len(self._trace))
        for rows in ((0, begin), (begin, end)):
            counts = lockstep.counts()
            replay(arrival_s, model_index, rows, tables, self._terms_s, clocks_s, places, counts)
        return counts


def held_of(contents: Sequence[Content], *, num_groups: int, num_models: int) -> NDArray[np.bool_]:
    """Contents as one array: who is where, bool [contents, groups, models]."""
    sizes = [len(models) for content in contents for models in content]
    assert len(sizes) == len(contents) * num_groups, "contents are of another layout"
    flat = chain.from_iterable(chain.from_iterable(contents))
    model = np.fromiter(flat, dtype=np.int64, count=sum(sizes))
    held = np.zeros((len(contents) * num_groups, num_models), dtype=bool)
    held[np.repeat(np.arange(len(sizes)), sizes), model] = True
    return held.reshape(-1, num_groups, num_models)
