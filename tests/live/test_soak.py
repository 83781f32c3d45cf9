"""A soak, shortened: mixed load with a fault, and what the fleet's processes take before and after."""

from __future__ import annotations

import asyncio
import os
import signal
from statistics import median

import pytest

from benchmarks.soak_load import Tally, load
from benchmarks.soak_vitals import Vitals, vitals_of
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
NUM_CALLS, NUM_CLIENTS = 300, 8


async def _some_calls(fleet: ServedFleet, tally: Tally) -> None:
    """Closed loops of clients until so many calls have ended."""
    endpoints = fleet.ask("status")["endpoints"]
    until = asyncio.Event()
    loops = asyncio.create_task(
        load(
            endpoints["grpc"], endpoints["http"], ["fast"], ["chat"],
            until=until, num_clients=NUM_CLIENTS, tally=tally,
        )
    )  # fmt: skip
    wanted = tally.total + NUM_CALLS
    while tally.total < wanted and not loops.done():
        await asyncio.wait([loops], timeout=0.05)
    until.set()
    await loops


def _vitals(fleet: ServedFleet) -> Vitals:
    """Of the controller, when nothing is under way."""
    fleet.until(lambda: fleet.ask("status")["num_pending"] == 0)
    found = [vitals_of(fleet.process.pid, now_s=0.0) for _ in range(5)]
    assert all(found)
    return Vitals(0.0, *(int(median(getattr(one, name) for one in found)) for name in Vitals.__slots__[1:]))


def test_load_and_a_killed_worker_leave_a_controller_as_it_was(mixed: ServedFleet) -> None:
    tally = Tally()
    asyncio.run(_some_calls(mixed, tally))
    before = _vitals(mixed)
    os.kill(mixed.group("g1")["pid"], signal.SIGKILL)
    asyncio.run(_some_calls(mixed, tally))
    mixed.until(lambda: mixed.group("g1")["is_open"])
    asyncio.run(_some_calls(mixed, tally))
    after = _vitals(mixed)
    assert tally.num_without_reply == 0 and ("infer", "wrong") not in tally.ends, tally.ends
    assert abs(after.num_files - before.num_files) <= 2, (before, after)
    assert abs(after.num_threads - before.num_threads) <= 2, (before, after)
    # Two per cent is for half an hour; what a start brings along is not all there after some hundred calls.
    assert after.memory_bytes < 1.1 * before.memory_bytes, (before, after)
