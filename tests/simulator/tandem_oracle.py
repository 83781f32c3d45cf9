"""First come first served without batching, in plain Python: the definition, and nothing of ours but nouns.

A request of a group's model passes its stages in order; a stage serves one request at a time. So the end of
request r on stage s is max(end of r on s - 1, end of the request before r on s) + latency.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vocabulary.deployment import Deployment
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from vocabulary.trace import Trace

TOLERANCE_S = 1e-9
Row = tuple[str, int, float, bool]


@dataclass(eq=False)
class _Group:
    """`stage_ends_s` of the last request there, `ends_s` of all that were sent there."""

    config: ParallelConfig
    models: tuple[str, ...]
    stage_ends_s: list[float]
    ends_s: list[float] = field(default_factory=list)

    def passes_s(self, start_s: float, stages_s: list[float]) -> list[float]:
        ends_s: list[float] = []
        for stage_end_s, latency_s in zip(self.stage_ends_s, stages_s, strict=True):
            ready_s = ends_s[-1] if ends_s else start_s
            ends_s.append(max(stage_end_s, ready_s) + latency_s)
        return ends_s


def expected_rows(placement: Placement, trace: Trace, *, deployment: Deployment) -> list[Row]:
    """Fate, group (-1: none), finish (0: not served) and good of every request, in the trace's order."""
    groups = [_Group(g.config, g.models, [0.0] * g.config.pipeline) for g in placement.groups]
    num_routed = dict.fromkeys(trace.models, 0)
    rows: list[Row] = []
    for arrival_s, index in zip(trace.arrival_s.tolist(), trace.model_index.tolist(), strict=True):
        name = trace.models[index]
        holders = [group for group in groups if name in group.models]
        if not holders:
            rows.append(("not_placed", -1, 0.0, False))
            continue
        ends_s = [group.passes_s(arrival_s, _stages_s(deployment, name, group.config)) for group in holders]
        chosen = _choose(deployment.policy.router, holders, ends_s, arrival_s, num_routed[name])
        num_routed[name] += 1
        slo_s = _objective_s(deployment, name)
        finish_s = ends_s[chosen][-1] + deployment.latency.fixed_overhead_s
        too_late = finish_s + deployment.policy.slack_s - arrival_s > slo_s + TOLERANCE_S
        if deployment.policy.admission == "slo" and too_late:
            rows.append(("slo_infeasible", -1, 0.0, False))
            continue
        holders[chosen].stage_ends_s = ends_s[chosen]
        holders[chosen].ends_s.append(ends_s[chosen][-1])
        good = finish_s - arrival_s <= slo_s + TOLERANCE_S
        rows.append(("served", groups.index(holders[chosen]), finish_s, good))
    return rows


def _choose(
    router: str, holders: list[_Group], ends_s: list[list[float]], now_s: float, num_before: int
) -> int:
    """Position among the holders; the first on a tie. A request that ends right now is still in flight."""
    if router == "round_robin":
        return num_before % len(holders)
    scores = {
        "least_loaded": [sum(end_s >= now_s for end_s in group.ends_s) for group in holders],
        "min_stage_clock": [group.stage_ends_s[-1] for group in holders],
        "shortest_expected_delay": [end_s[-1] for end_s in ends_s],
    }[router]
    return scores.index(min(scores))


def _stages_s(deployment: Deployment, name: str, config: ParallelConfig) -> list[float]:
    scale = 1.0 + deployment.latency.stage_scale_per_stage * config.pipeline
    latencies_s = deployment.model(name).profile.entries[config].stage_latency_s[1]
    return [_rounded_s(deployment, latency_s * scale) for latency_s in latencies_s]


def _objective_s(deployment: Deployment, name: str) -> float:
    latency_s = deployment.model(name).slo.latency_s
    return float("inf") if latency_s is None else _rounded_s(deployment, latency_s)


def _rounded_s(deployment: Deployment, seconds: float) -> float:
    """The artifact computes in float32 where it adjusts latencies at all."""
    latency = deployment.latency
    is_adjusted = latency.stage_scale_per_stage != 0 or latency.fixed_overhead_s != 0
    return float(np.float32(seconds)) if is_adjusted else seconds
