"""Hypothesis strategies: small fleets whose times often tie, and the cases that people write by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

ARTIFACT = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)
CLUSTER = Cluster((NodeClass("n", 1, "cpu", 64, 2**30),))
MODELS = ("a", "b", "c")
HELD = ("a b c", "c b a", "a b", "b c", "a", "c", "")
# Stage latencies in seconds by batch size, one table for each number of stages.
BySize = dict[int, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Fleet:
    deployment: Deployment
    placement: Placement
    trace: Trace


def fleet_of(
    models: dict[str, tuple[float | None, Sequence[BySize]]],
    groups: Sequence[tuple[int, str]],
    asks: Sequence[tuple[float, str]],
    *,
    policy: Policy,
    latency: LatencyModel | None = None,
) -> Fleet:
    """Models are (SLO, tables), groups (stages, models with spaces between), requests (arrival, model)."""
    specs = tuple(
        ModelSpec(
            name,
            profile=profile_of(name, "cpu", map(_entry, tables), provenance=Provenance()),
            slo=Slo(slo_s),
        )
        for name, (slo_s, tables) in models.items()
    )
    deployment = Deployment("drawn", CLUSTER, specs, policy=policy, latency=latency or LatencyModel())
    index = [deployment.model_names.index(name) for _, name in asks]
    arrival_s = np.array([arrival_s for arrival_s, _ in asks], dtype=float)
    trace = Trace(arrival_s, np.array(index, dtype=np.int32), deployment.model_names)
    return Fleet(deployment, placement_of(groups), trace)


def placement_of(groups: Sequence[tuple[int, str]]) -> Placement:
    devices = iter(device.id for device in CLUSTER.devices)
    return Placement(
        tuple(
            Group(
                f"g{index}",
                tuple(next(devices) for _ in range(stages)),
                ParallelConfig(1, stages),
                tuple(held.split()),
            )
            for index, (stages, held) in enumerate(groups)
        )
    )


def _entry(by_size: BySize) -> ProfileEntry:
    num_stages = len(by_size[1])
    return ProfileEntry(ParallelConfig(1, num_stages), (1,) * num_stages, {}, by_size)


@st.composite
def fleets(
    draw,
    *,
    policies: st.SearchStrategy[Policy],
    latencies: st.SearchStrategy[LatencyModel] | None = None,
    batch_sizes: tuple[int, ...] = (1,),
    max_stages: int = 3,
    max_requests: int = 30,
) -> Fleet:
    """Times on a coarse grid, where nearly all of them tie, or anywhere."""
    tick_s = draw(st.sampled_from([0.25, None]))
    seconds = _seconds(tick_s)
    stage_counts = draw(st.lists(st.integers(1, max_stages), min_size=1, max_size=3))
    models = {}
    for name in MODELS:
        tables = [draw(_tables(num_stages, seconds, batch_sizes)) for num_stages in sorted(set(stage_counts))]
        models[name] = (draw(st.none() | seconds.map(lambda slo_s: 2 * slo_s)), tables)
    groups = [(stages, draw(st.sampled_from(HELD))) for stages in stage_counts]
    gaps = st.one_of(st.just(0.0), seconds)
    asks, now_s = [], 0.0
    # The number is drawn first: left alone, lists are mostly short.
    num_requests = draw(st.integers(0, max_requests))
    ask = st.tuples(gaps, st.sampled_from(MODELS))
    for gap_s, name in draw(st.lists(ask, min_size=num_requests, max_size=num_requests)):
        now_s += gap_s
        asks.append((now_s, name))
    latency = draw(latencies) if latencies is not None else None
    return fleet_of(models, groups, asks, policy=draw(policies), latency=latency)


def _seconds(tick_s: float | None) -> st.SearchStrategy[float]:
    if tick_s is None:
        return st.floats(0.01, 1.0)
    return st.integers(1, 4).map(lambda ticks: ticks * tick_s)


@st.composite
def _tables(draw, num_stages: int, seconds: st.SearchStrategy[float], batch_sizes: tuple[int, ...]) -> BySize:
    """A batch takes half as long again for each further request: cheaper than one after the other."""
    single_s = draw(st.tuples(*[seconds] * num_stages))
    return {size: tuple(stage_s * (0.5 + 0.5 * size) for stage_s in single_s) for size in batch_sizes}
