"""A node of Ray's dies: the fleet is planned for what is left, and as before when the host comes back."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from controller.verbs.control import ROOT
from tests.controller.ray_raylets import joined_node, kill_node
from tests.live.crowd import crowd
from tests.live.fault_fleet import write_fault_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]


def model_is(fleet: ServedFleet, model: str, state: str) -> bool:
    return fleet.ask("status")["models"][model]["state"] == state


def devices_of(fleet: ServedFleet) -> set[str]:
    return {device for group in fleet.ask("status")["groups"] for device in group["devices"]}


def test_a_host_that_goes_is_planned_without_and_taken_back_when_it_comes(
    folder: Path, serve: Callable[..., ServedFleet], monkeypatch: pytest.MonkeyPatch
):
    fleet = serve(write_fault_fleet(folder, num_hosts=2))
    address = fleet.until_ready()["grpc"]
    (ray_folder,) = fleet.ray_folders
    with crowd(address, "quick", "quick") as clients:
        clients.until_served("quick", after_s=0.0)
        kill_node("n-1", ray_folder)
        fleet.until(lambda: model_is(fleet, "steady", "UNAVAILABLE"))
        fleet.until(lambda: model_is(fleet, "steady", "READY"))
        fleet.until(lambda: devices_of(fleet) <= {"n-0:0", "n-0:1"})
        status = fleet.ask("status")
        assert status["state"] == "degraded"
        assert any("without n-1:0, n-1:1" in sentence for sentence in status["problems"])
        keys = json.loads((folder / ROOT / "hit" / "keys.json").read_text())
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", keys["ray_token"])
        (ray_address,) = re.findall(r"joining Ray at (\S+)", fleet.said)
        with joined_node(ray_address, host="n-1", folder=folder, num_devices=2):
            fleet.until(lambda: fleet.ask("status")["state"] == "ready", timeout_s=90.0)
            assert devices_of(fleet) == {"n-0:0", "n-0:1", "n-1:0", "n-1:1"}
            clients.stop()
            fleet.process.send_signal(signal.SIGTERM)
            assert fleet.wait() == 0, fleet.said
    clients.check(may_be=["LOST"])
    fleet.check_clean_end()
