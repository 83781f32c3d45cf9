"""What the same policy would reach if memory cost nothing: a strong reference for a plan, not a theorem.

With all models on every group nothing is ever in the wrong place. But it is the best of equal groups only,
and first come first served is not monotone: a plan may be better, if seldom.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from placement.candidate import Candidate
from placement.groups import Layout, Mesh, carve, hosts_of
from placement.memory import allows
from placement.problem import Problem
from simulator.fast import supports
from simulator.fast_or_events import outcomes_of
from simulator.generation.arrivals import asks_for_tokens
from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment
from vocabulary.outcomes import kept_rows, statistics
from vocabulary.parallel import ParallelConfig
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S

DEFAULT_BUDGET_S = 30.0


@dataclass(frozen=True, slots=True)
class Reference:
    """attainment: share of the counted requests; layout: the groups in words; seconds: what finding it took.

    is_complete: every layout was looked at, under the deployment's own policy.
    """

    attainment: float
    layout: str
    seconds: float
    num_layouts: int
    is_complete: bool


def without_memory(
    deployment: Deployment, trace: Trace, *, trim_s: float = 0.0, budget_s: float | None = None
) -> Reference:
    """All models on every group, the best of equal groups of each configuration that a profile has.

    Where the compiled scorer does not have the policy, or answers are tokens, it ranks the layouts and the
    event simulator has the word, best first; `budget_s` (30 by default) is looked at between two layouts, and
    one is always scored.
    """
    start_s = time.perf_counter()
    stop_s = start_s + (DEFAULT_BUDGET_S if budget_s is None else budget_s)
    aligned = trace.aligned_to(deployment.model_names)
    deployment = roomy(deployment)
    asks_tokens = asks_for_tokens(aligned)
    problem = Problem(deployment, aligned, trim_s=trim_s)
    candidates = list(_everything_everywhere(deployment))
    ranked: list[tuple[float, Candidate]] = []
    for candidate in candidates:
        if ranked and time.perf_counter() > stop_s:
            break
        ranked.append((problem.tally(candidate).attainment, candidate))
    ranked.sort(key=lambda one: -one[0])
    is_complete = len(ranked) == len(candidates)
    if ranked and (asks_tokens or not supports(deployment.policy)):
        exact = list(_simulated(ranked, deployment, aligned, trim_s=trim_s, stop_s=stop_s))
        is_complete = is_complete and len(exact) == len(ranked)
        ranked = sorted(exact, key=lambda one: -one[0])
    seconds = time.perf_counter() - start_s
    if not ranked:
        return Reference(0.0, "no group of any configuration", seconds, 0, is_complete)
    attainment, best = ranked[0]
    return Reference(attainment, _in_words(best.layout), seconds, len(candidates), is_complete)


def roomy(deployment: Deployment) -> Deployment:
    """The same on devices where every model has the weights and the room that it could have alone."""
    profiles = [model.profile for model in deployment.models if model.profile is not None]
    weights = sum(max(max(e.weight_bytes) for e in profile.entries.values()) for profile in profiles)
    more_bytes = math.ceil(weights / (1.0 - deployment.cluster.reserve))
    nodes = tuple(
        replace(node, memory_bytes=node.memory_bytes * (1 + len(profiles)) + more_bytes)
        for node in deployment.cluster.nodes
    )
    return replace(deployment, cluster=replace(deployment.cluster, nodes=nodes))


def _everything_everywhere(deployment: Deployment) -> Iterator[Candidate]:
    """Every layout of equal groups, in a fleet of several device types every combination of theirs."""
    catalog = deployment.catalog()
    hosts = hosts_of(deployment.cluster)
    by_type: dict[str, list[Layout]] = {}
    for config in _configs(deployment):
        layout = carve(hosts, config)
        if layout:
            by_type.setdefault(config.device_type, []).append(layout)
    for parts in itertools.product(*by_type.values()):
        layout = tuple(mesh for part in parts for mesh in part)
        content = tuple(tuple(_in_time(deployment, mesh, catalog)) for mesh in layout)
        yield Candidate(layout, content)


def _configs(deployment: Deployment) -> Sequence[ParallelConfig]:
    profiles = [model.profile for model in deployment.models if model.profile is not None]
    return sorted({config for profile in profiles for config in profile.entries})


def _in_time(deployment: Deployment, mesh: Mesh, catalog: Catalog) -> Iterator[int]:
    """Models that may be on a mesh and whose request alone would be in time there."""
    for index, model in enumerate(deployment.models):
        if allows(model, mesh.config, crosses_hosts=mesh.num_hosts > 1):
            alone_s = sum(catalog.costs(model.name, mesh.config).single) + catalog.latency.fixed_overhead_s
            if alone_s <= model.slo_s(catalog.latency) + TIME_TOLERANCE_S:
                yield index


def _simulated(
    ranked: Sequence[tuple[float, Candidate]],
    deployment: Deployment,
    trace: Trace,
    *,
    trim_s: float,
    stop_s: float,
) -> Iterator[tuple[float, Candidate]]:
    """Under the deployment's own policy, in order, the first in any case."""
    rows = kept_rows(trace, trim_s)
    for number, (_, candidate) in enumerate(ranked):
        if number and time.perf_counter() > stop_s:
            return
        outcomes = outcomes_of(candidate.placement(deployment.model_names), trace, deployment=deployment)
        yield statistics(outcomes, rows=rows).slo_attainment, candidate


def _in_words(layout: Layout) -> str:
    """Numbers of groups by configuration, most devices first: 2 x (tensor 1, pipeline 8)."""
    counts = Counter(str(mesh.config) for mesh in layout)
    return ", ".join(f"{count} x {config}" for config, count in counts.items())
