"""The open-loop client against an endpoint in the same process."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from controller.calls import InferCall
from controller.grpc_v2.echo_fleet import EchoFleet
from statmux.calibrate import calibrate
from statmux.client import Unavailable
from statmux.replay import Load, Replayed, replay
from tests.controller.grpc_fleet import serving, story_fleet
from vocabulary.catalog import Catalog
from vocabulary.deployment import Slo
from vocabulary.outcomes import FATES, NO_GROUP
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.request import Fate
from vocabulary.trace import Trace

X = {"x": np.arange(4, dtype=np.float32).reshape(1, 4)}
NOBODY = "127.0.0.1:1"  # a port that no process listens on


def load(*models: str, timeout_s: float = 60.0, slo_scale: float | None = None) -> Load:
    """A request every millisecond, to these models in this order."""
    names = tuple(dict.fromkeys(models))
    index = np.array([names.index(name) for name in models], dtype=np.int32)
    trace = Trace(5.0 + np.arange(len(models)) / 1000, index, names)
    slos = {name: Slo(1000.0 if name == "echo" else None) for name in names}
    return Load(trace, dict.fromkeys(names, X), slos, timeout_s, slo_scale=slo_scale)


async def replayed(asked: Load, address: str | None = None) -> Replayed:
    if address is not None:
        return await replay(address, asked, groups=["other", "echo"], progress=lambda done, total: None)
    async with serving(story_fleet()) as served:
        return await replayed(asked, served)


class Listening:
    """A fleet that keeps what it was called with."""

    def __init__(self, fleet: EchoFleet) -> None:
        self._fleet = fleet
        self.calls: list[InferCall] = []

    def infer(self, call: InferCall) -> object:
        self.calls.append(call)
        return self._fleet.infer(call)

    def __getattr__(self, name: str) -> object:
        return getattr(self._fleet, name)


def fates(found: Replayed) -> list[Fate]:
    return [FATES[code] for code in found.outcomes.fate]


@pytest.mark.asyncio
async def test_every_answer_becomes_an_outcome() -> None:
    # Long enough for an echo on a machine that others use.
    found = await replayed(load("echo", "busy", "late", "stuck", "echo", timeout_s=2.0))
    assert fates(found) == [
        Fate.SERVED, Fate.QUEUE_FULL, Fate.SLO_INFEASIBLE, Fate.DEADLINE_EXCEEDED, Fate.SERVED,
    ]  # fmt: skip
    assert found.outcomes.good.tolist() == [True, False, False, False, True]
    assert found.outcomes.group_index.tolist() == [1, NO_GROUP, NO_GROUP, NO_GROUP, 1]
    assert found.errors == {}


@pytest.mark.asyncio
async def test_latency_counts_from_when_a_request_was_due() -> None:
    found = await replayed(load(*["echo"] * 50))
    assert np.all(found.timings.lag_s >= 0) and found.max_lag_s == found.timings.lag_s.max()
    assert np.all(found.outcomes.latency_s > found.timings.lag_s)
    assert np.all(found.timings.queue_s == 0) and np.all(found.timings.execute_s == 0)
    assert found.outcomes.finish_s.min() > 5.0  # on the trace's own time


@pytest.mark.asyncio
async def test_what_is_left_of_the_objective_is_asked_for_where_it_is_scaled() -> None:
    fleet = Listening(story_fleet())
    async with serving(fleet) as address:
        scaled = await replayed(load("echo", "busy", slo_scale=0.5), address)
        await replayed(load("echo"), address)
    asked_s = {call.model: call.slo_s for call in fleet.calls[:2]}
    assert asked_s["echo"] == pytest.approx(500 - scaled.timings.lag_s[0], abs=1e-6)
    assert asked_s["busy"] is None and fleet.calls[2].slo_s is None


@pytest.mark.asyncio
async def test_nobody_there_and_nothing_to_send() -> None:
    found = await replayed(load("echo", timeout_s=0.3), NOBODY)
    assert fates(found) == [Fate.UNAVAILABLE]
    nothing = replace(load("echo"), trace=Trace(np.zeros(0), np.zeros(0, dtype=np.int32), ("echo",)))
    assert len((await replayed(nothing)).outcomes.trace) == 0
    assert gc.isenabled()


@pytest.mark.asyncio
async def test_calibration_is_what_lone_requests_take_beyond_their_stages() -> None:
    config = ParallelConfig(1, 1)
    entry = ProfileEntry(config, (1,), {}, {1: (1000.0,)})
    catalog = Catalog({"echo": profile_of("echo", "cpu", [entry], provenance=Provenance())})
    placement = Placement((Group("echo", ("n-0:0",), config, ("echo",)),))
    async with serving(story_fleet()) as address:
        found = await calibrate(address, {"echo": X}, placement=placement, catalog=catalog, num_requests=3)
    assert found.num_requests == 3
    # The echo takes no time at all, so all of its profile is missing.
    assert -1000 < found.lower_quartile_s <= found.fixed_overhead_s <= found.upper_quartile_s < -900
    with pytest.raises(Unavailable):
        await calibrate(NOBODY, {"echo": X}, placement=placement, catalog=catalog, num_requests=2)
