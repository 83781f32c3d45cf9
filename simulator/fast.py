"""The compiled scorer: what `simulate` says of first-come-first-served fleets, some thousand times faster."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from simulator.fast_costs import Content, Layout, StageTable, num_by_model, slots_of, unwritable
from simulator.fast_queues import may_overflow
from simulator.fast_source import counting_source
from vocabulary.deployment import Deployment, Policy
from vocabulary.outcomes import FATE_CODE, Outcomes, kept_rows
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S

if TYPE_CHECKING:  # numba takes half a second to import: only who scores pays for it
    from simulator.fast_kernel import Arrivals, Columns, InFlight, Replicas, Rules

# One-shot requests are served first come first served under all of these (`scheduling.queueing.ORDERS`).
_IN_ORDER = ("fcfs", "vtc", "longest_prefix", "depth_first")
_ROUTERS = ("shortest_expected_delay", "min_stage_clock", "least_loaded", "round_robin", "power_of_two")
# Those that only the kernel with outcomes knows, and not the one that counts.
_WITH_OUTCOMES = ("least_loaded", "power_of_two")


def supports(policy: Policy) -> bool:
    """Whether the scorer says the same as the event simulator under this policy."""
    in_order = policy.queue in _IN_ORDER and policy.batching == "none"
    # With a negative slack the cluster would take what the group then drops.
    return in_order and policy.one_shot_router in _ROUTERS and policy.slack_s >= 0.0


def load_compiler() -> None:
    """Import what compiling and loading compiled code needs: a third of a second, best spent early."""
    import_module("simulator.fast_kernel")  # for its imports
    from numba.core.registry import cpu_target

    with _without_linear_algebra():
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()


@contextmanager
def _without_linear_algebra() -> Generator[None]:
    """numba looks for scipy's, a fifth of a second to import, which nothing that is compiled here uses."""
    if "scipy.linalg" in sys.modules:
        yield
        return
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        yield
    finally:
        del sys.modules["scipy.linalg"]


def score(placement: Placement, trace: Trace, *, deployment: Deployment) -> Outcomes:
    """Outcomes of every request of `trace`, equal to `simulate`'s; the policy must be supported.

    The trace's models must be those of the deployment, in its order (`Trace.aligned_to`).
    """
    return Scorer(trace, deployment=deployment).outcomes(placement)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts over the rows that matter; num_routed counts refused requests too.

    num_good, num_requests: int64 [models]; num_routed: int64 [groups]; total_latency_s: of served requests.
    """

    num_good: NDArray[np.int64]
    num_requests: NDArray[np.int64]
    num_routed: NDArray[np.int64]
    total_latency_s: float

    @property
    def attainment(self) -> float:
        """Share of requests served within their SLO; 1 when there was none."""
        total = int(self.num_requests.sum())
        return int(self.num_good.sum()) / total if total else 1.0


@final
class Scorer:
    """Scores placements on one trace under one deployment; keeps tables and buffers. For one thread."""

    def __init__(
        self, trace: Trace, *, deployment: Deployment, trim_s: float = 0.0, table: StageTable | None = None
    ) -> None:
        assert trace.models == deployment.model_names, "align the trace to the deployment first"
        assert supports(deployment.policy), deployment.policy
        self._trace = trace
        self._deployment = deployment
        self._policy = deployment.policy
        self._overhead_s = deployment.latency.fixed_overhead_s
        self._latest_s = np.array([m.slo_s(deployment.latency) for m in deployment.models]) + TIME_TOLERANCE_S
        self._rows = kept_rows(trace, trim_s)
        self.num_requests = num_by_model(trace.model_index[self._rows], len(trace.models))
        self._index = {name: index for index, name in enumerate(trace.models)}
        self.table = table or StageTable(trace.models, deployment.catalog())
        self._scratch: Columns | None = None
        self._overflows: dict[int, bool] = {}

    def outcomes(self, placement: Placement) -> Outcomes:
        """Every request's outcome."""
        columns = _columns(len(self._trace))
        layout = tuple(group.config for group in placement.groups)
        content = [[self._index[model] for model in group.models] for group in placement.groups]
        self._replay(layout, content, columns)
        served = columns.fate == FATE_CODE[Fate.SERVED]
        finish_s = np.where(served, columns.end_s + self._overhead_s, 0.0)
        return Outcomes(self._trace, columns.group_index, finish_s, columns.fate, columns.good)

    def tally(self, layout: Layout, content: Content) -> Tally:
        """Counts over the trimmed trace, for a search."""
        if self._policy.router not in _WITH_OUTCOMES and not self._may_overflow(len(layout)):
            return self._count(layout, content)
        if self._scratch is None:
            self._scratch = _columns(len(self._trace))
        return self._replay(layout, content, self._scratch)

    def _may_overflow(self, num_groups: int) -> bool:
        if num_groups not in self._overflows:
            self._overflows[num_groups] = may_overflow(
                self._deployment, num_requests=len(self._trace), num_groups=num_groups
            )
        return self._overflows[num_groups]

    def _count(self, layout: Layout, content: Content) -> Tally:
        from simulator import fast_kernel
        from simulator.fast_programs import compiled

        replicas = self._replicas(layout, content)
        num_stages = replicas.slot_stages_s.shape[1]
        count = compiled(counting_source(num_stages), inlined=(fast_kernel,))
        rules = self._rules(limits_queues=False)
        clocks_s = np.zeros((len(layout), num_stages))
        turns = np.zeros(len(self.num_requests), dtype=np.int64)
        # What comes before the rows that count only takes its time; what comes after them changes nothing.
        begin, end, _ = self._rows.indices(len(self._trace))
        for rows in ((0, begin), (begin, end)):
            num_good = np.zeros_like(turns)
            num_routed = np.zeros(len(layout), dtype=np.int64)
            total_latency_s: float = count(
                self._arrivals(), replicas, rules, rows, clocks_s, turns, num_good, num_routed
            )
        return Tally(num_good, self.num_requests, num_routed, total_latency_s)

    def _replay(self, layout: Layout, content: Content, columns: Columns) -> Tally:
        from simulator.fast_kernel import Scratch, replay

        replicas = self._replicas(layout, content)
        limits_queues = self._may_overflow(len(layout))
        num_good = np.zeros(len(self.num_requests), dtype=np.int64)
        num_routed = np.zeros(len(layout), dtype=np.int64)
        total_latency_s = replay(
            self._arrivals(),
            replicas,
            self._rules(limits_queues=limits_queues),
            (self._rows.start, self._rows.stop),
            Scratch(
                free_s=np.zeros((len(layout), 2, replicas.slot_stages_s.shape[1])),
                side=np.zeros_like(num_routed),
                turns=np.zeros_like(num_good),
            ),
            self._in_flight(len(layout), is_kept=self._policy.router == "least_loaded"),
            self._in_flight(len(replicas.slot_group), is_kept=limits_queues),
            columns,
            num_good,
            num_routed,
        )
        return Tally(num_good, self.num_requests, num_routed, total_latency_s)

    def _arrivals(self) -> Arrivals:
        from simulator.fast_kernel import Arrivals

        trace = self._trace
        return Arrivals(unwritable(trace.arrival_s), unwritable(trace.model_index), self._latest_s)

    def _replicas(self, layout: Layout, content: Content) -> Replicas:
        from simulator.fast_kernel import Replicas

        num_stages = np.array([config.pipeline for config in layout], dtype=np.int64)
        return Replicas(*slots_of(layout, content, self.table), num_stages)

    def _rules(self, *, limits_queues: bool) -> Rules:
        from simulator.fast_kernel import ROUTER_CODE, Rules

        policy = self._policy
        return Rules(
            router=ROUTER_CODE[policy.one_shot_router],
            admits_all=policy.admission == "none",
            overhead_s=self._overhead_s,
            slack_s=policy.slack_s,
            max_queued=policy.max_queued_requests if limits_queues else len(self._trace),
        )

    def _in_flight(self, num_lists: int, *, is_kept: bool) -> InFlight:
        from simulator.fast_kernel import NOBODY, InFlight

        nobody = np.full(num_lists, NOBODY, dtype=np.int64)
        following = np.empty(len(self._trace) if is_kept else 0, dtype=np.int64)
        return InFlight(nobody, nobody.copy(), np.zeros(num_lists, dtype=np.int64), following)


def _columns(num_requests: int) -> Columns:
    from simulator.fast_kernel import Columns

    return Columns(
        end_s=np.zeros(num_requests),
        group_index=np.empty(num_requests, dtype=np.int32),
        fate=np.empty(num_requests, dtype=np.int8),
        good=np.empty(num_requests, dtype=bool),
    )
