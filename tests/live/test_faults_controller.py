"""The controller is hit: its groups go on, another takes them over as they are, and nothing is left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client
from tests.live.crowd import crowd
from tests.live.fault_fleet import BEAT_TIMEOUT_S, write_fault_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)


def pids_of(fleet: ServedFleet) -> Mapping[str, int]:
    return {group["id"]: group["pid"] for group in fleet.ask("status")["groups"]}


def kill_controller(fleet: ServedFleet) -> None:
    fleet.process.kill()
    assert fleet.wait() == -signal.SIGKILL


@pytest.mark.nightly
def test_a_controller_that_stood_still_loses_no_group_and_no_request(
    folder: Path, serve: Callable[..., ServedFleet]
):
    fleet = serve(write_fault_fleet(folder))
    address = fleet.until_ready()["grpc"]
    pids = pids_of(fleet)
    with crowd(address, "quick", "quick") as clients:
        clients.until_served("quick", after_s=0.0)
        stand_still(fleet.process.pid, seconds=BEAT_TIMEOUT_S + 1.0)
        clients.until_served("quick", after_s=time.monotonic())
    clients.check()
    assert pids_of(fleet) == pids
    again_after_a_kill(fleet, serve, pids)


def again_after_a_kill(
    fleet: ServedFleet, serve: Callable[..., ServedFleet], pids: Mapping[str, int]
) -> None:
    """In the same fleet, since a start takes seconds."""
    kill_controller(fleet)
    second = serve(fleet.folder)
    with Client(second.until_ready(has_ray=False)["grpc"]) as client:
        assert pids_of(second) == pids
        assert "found 4 groups of before" in second.said
        assert "loading" not in second.said
        for model in ("quick", "steady"):
            assert np.array_equal(client.infer(model, {"INPUT0": X}, timeout_s=20.0).outputs["OUTPUT0"], X)
    kill_controller(second)
    stopped = second.run_verb("stop", "--wait", "-o", "json")
    assert stopped.returncode == 0, stopped.stderr
    fleet.check_clean_end()
    second.check_clean_end()


def stand_still(pid: int, *, seconds: float) -> None:
    """Longer than a time-out of heartbeats."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
