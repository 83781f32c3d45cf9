"""What the controller learns of a fleet whose stages are slower than their profile, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.calls import InferCall
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from scheduling.cluster import ClusterScheduler
from scheduling.group import GroupScheduler
from tests.virtual_loop import VirtualLoop
from vocabulary.catalog import LatencyModel
from vocabulary.correction import corrected
from vocabulary.deployment import Deployment, ModelSpec, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from workers.emulated_engine import EmulatedEngine
from workers.link import memory_pair
from workers.server import GroupServer

CONFIG = ParallelConfig(1, 2)
PLACEMENT = Placement((Group("g0", ("n-0:0", "n-0:1"), CONFIG, ("a",)),))
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x01\x00\x00\x00"),)


def deployment(factor: float = 1.0) -> Deployment:
    entry = ProfileEntry(CONFIG, (1, 1), {}, {1: (0.04 * factor, 0.06 * factor)})
    profile = profile_of("a", "cpu", [entry], provenance=Provenance("measured"))
    model = ModelSpec("a", profile=profile, slo=Slo(1.0), engine="emulated")
    cluster = Cluster((NodeClass("n", 1, "cpu", 2, 100),))
    return Deployment("virtual", cluster, (model,), latency=LatencyModel(fixed_overhead_s=0.5))


def serve(arrivals_s: list[float], *, factor: float) -> tuple[FleetServer, FleetMetrics]:
    """A fleet whose worker takes `factor` times what the controller believes, after all were answered."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_serve(loop, arrivals_s, factor))
    finally:
        loop.close()


async def _serve(
    loop: VirtualLoop, arrivals_s: list[float], factor: float
) -> tuple[FleetServer, FleetMetrics]:
    believed, real = deployment(), deployment(factor)
    metrics = FleetMetrics(believed.model_names)
    cluster = ClusterScheduler(PLACEMENT, catalog=believed.catalog(), policy=believed.policy)
    front = FleetServer(believed, PLACEMENT, cluster, clock=loop.time, soon=loop.soon(0), metrics=metrics)
    group = PLACEMENT.groups[0]
    engine = EmulatedEngine(group, catalog=real.catalog(), loop=loop)
    machine = GroupScheduler(group, catalog=believed.catalog(), policy=believed.policy)
    worker = GroupServer(machine, engine, loop=loop, soon=loop.soon(1))
    down, up = memory_pair(lambda frame: front.receive(0, frame), worker.receive)
    worker.attach(up)
    front.open_group(0, down, engine.interfaces())
    for row, time_s in enumerate(arrivals_s):
        loop.call_at(time_s, front.infer, InferCall(str(row), "a", "", INPUT))
    while loop.time() <= arrivals_s[-1] or front.num_pending:
        await _next_instant(loop)
    return front, metrics


async def _next_instant(loop: VirtualLoop) -> None:
    future = loop.create_future()
    loop.call_at(loop.time() + 0.01, future.set_result, None)
    await future


def ratio(metrics: FleetMetrics, sample: str) -> float:
    labels = {"model": "a", "group": "g0"}
    return metrics.registry.get_sample_value(f"statmux_prediction_error_ratio_{sample}", labels)


def test_a_fleet_as_profiled_has_a_ratio_of_one_whatever_the_fixed_overhead() -> None:
    front, metrics = serve([0.0, 0.01, 0.02, 1.0], factor=1.0)
    assert ratio(metrics, "count") == 4
    assert metrics.prediction_error("a") == pytest.approx(1.0, abs=1e-6)
    assert front.corrections()["a", 0].factor == pytest.approx(1.0, abs=1e-6)


def test_stages_a_tenth_slower_are_learned_from_lone_requests_alone() -> None:
    lone = np.arange(20).astype(float).tolist()
    front, metrics = serve(sorted([*lone, *(time_s + 0.02 for time_s in lone)]), factor=1.1)
    (correction,) = front.corrections().values()
    assert correction.factor == pytest.approx(1.1, abs=1e-6)
    assert correction.num_samples == 20
    assert 1.05 < metrics.prediction_error("a") < 1.15
    assert ratio(metrics, "sum") / ratio(metrics, "count") == pytest.approx(metrics.prediction_error("a"))


def test_the_corrected_profile_is_the_real_one() -> None:
    front, _ = serve([0.0, 1.0, 2.0], factor=1.1)
    profile = deployment().models[0].profile
    found = corrected(profile, {CONFIG: front.corrections()["a", 0]}, source="here")
    assert found.entries[CONFIG].stage_latency_s[1] == pytest.approx((0.044, 0.066), abs=1e-7)
    assert (
        replace(found.entries[CONFIG], stage_latency_s=profile.entries[CONFIG].stage_latency_s)
        == (profile.entries[CONFIG])
    )
