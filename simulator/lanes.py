"""Many candidates at once: placements of one layout scored in lockstep, each a lane of wide instructions.

Candidates of a search ask the same trace the same questions, so requests are read once for sixteen of them and
nothing branches on what one candidate does. Counts equal those of `fast.Scorer` to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import final

import numpy as np

from simulator.fast import Tally
from simulator.fast_costs import Content, Layout, StageTable
from simulator.lanes_source import ROUTERS, Kernel
from vocabulary.deployment import Deployment, Policy
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S


def lanes_support(policy: Policy, *, num_requests: int) -> bool:
    """Whether lanes count the same as the scalar scorer under this policy, for a trace of that length.

    They keep no lists of requests, so neither a queue's limit nor the number in flight is known to them.
    """
    in_order = policy.queue == "fcfs" and policy.batching == "none" and policy.slack_s >= 0.0
    return in_order and policy.router in ROUTERS and policy.max_queued_requests >= num_requests


@final
class LaneScorer:
    """Counts for many placements on one trace under one deployment. May be used by several threads."""

    def __init__(
        self, trace: Trace, *, deployment: Deployment, trim_s: float = 0.0, table: StageTable | None = None
    ) -> None:
        assert trace.models == deployment.model_names, "align the trace to the deployment first"
        assert lanes_support(deployment.policy, num_requests=len(trace)), deployment.policy
        self._trace = trace
        self._policy = deployment.policy
        self._terms_s = (deployment.latency.fixed_overhead_s, deployment.policy.slack_s)
        self._latest_s = np.array([m.slo_s(deployment.latency) for m in deployment.models]) + TIME_TOLERANCE_S
        self._rows = kept_rows(trace, trim_s)
        self._num_requests = np.bincount(trace.model_index[self._rows], minlength=len(trace.models))
        self.table = table or StageTable(trace.models, deployment.catalog())

    def tallies(self, layout: Layout, contents: Sequence[Content], *, num_threads: int = 1) -> list[Tally]:
        """Counts over the trimmed trace for each content of the layout, in order.

        Sixteen take as long as one; each thread takes sixteen at a time.
        """
        from simulator.lanes_vectors import LANES

        batches = [contents[start : start + LANES] for start in range(0, len(contents), LANES)]
        if num_threads == 1 or len(batches) < 2:
            scored = [self._lockstep(layout, batch) for batch in batches]
        else:
            with ThreadPoolExecutor(num_threads) as pool:
                scored = list(pool.map(lambda batch: self._lockstep(layout, batch), batches))
        return [tally for tallies in scored for tally in tallies]

    def _lockstep(self, layout: Layout, contents: Sequence[Content]) -> list[Tally]:
        from simulator.lanes_cache import compiled
        from simulator.lanes_tables import Lockstep

        lockstep = Lockstep(layout, contents, self.table, self._latest_s)
        policy = self._policy
        replay = compiled(
            Kernel(lockstep.num_stages, policy.router, policy.admission == "none", lockstep.is_mixed)
        )
        clocks_s, places = lockstep.clocks_s(), lockstep.places()
        trace, rows = self._trace, self._rows
        counts = lockstep.counts()
        # What comes before the rows that count only takes its time; what comes after them changes nothing.
        for part in ((0, rows.start), (rows.start, rows.stop)):
            counts = lockstep.counts()
            replay(
                trace.arrival_s,
                trace.model_index,
                part,
                lockstep.tables,
                self._terms_s,
                clocks_s,
                places,
                counts,
            )
        return [
            Tally(
                lockstep.num_good(counts, lane),
                self._num_requests,
                lockstep.num_routed(counts, lane),
                float(counts.total_s[lane]),
            )
            for lane in range(len(contents))
        ]
