"""How fleets end: asked to, asked twice, asked too early, hit in a part, or killed outright."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from controller.verbs.control import ROOT
from statmux.client import Client, Unavailable
from tests.live.crowd import in_flight
from tests.live.fleet_files import GPT2, write_small_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)


def test_a_killed_worker_fails_its_requests_at_once_and_a_drained_fleet_answers_the_others(
    folder: Path, serve: Callable[..., ServedFleet]
):
    # It may be lost once less than it is here, so it stays away; and it is not dead as long as it is held.
    settings = ("restarts.max_restarts=0", "beat_timeout_s=60")
    words = [word for each in settings for word in ("--set", f"serving.health.{each}")]
    fleet = serve(write_small_fleet(folder, num_groups=2), *words)
    with Client(fleet.until_ready()["grpc"]) as client, ThreadPoolExecutor() as pool:
        with fleet.held("g0") as worker:
            doomed = in_flight(fleet, client, pool, "m0", count=3)
            os.kill(worker, signal.SIGKILL)
            for call in doomed:
                with pytest.raises(Unavailable, match="no group that holds model 'm0' is open"):
                    call.result()
        check_without_g0(fleet, client)
        with fleet.held("g1"):
            accepted = in_flight(fleet, client, pool, "m1", count=2)
            fleet.process.send_signal(signal.SIGTERM)
            fleet.until(lambda: fleet.ask("status")["state"] == "draining")
        assert [np.array_equal(call.result().outputs["OUTPUT0"], X) for call in accepted] == [True, True]
    assert fleet.wait() == 0, fleet.said
    assert '"event": "group lost"' in fleet.said
    fleet.check_clean_end()


def check_without_g0(fleet: ServedFleet, client: Client) -> None:
    """The lost group is closed, its model refused with a reason, the other group goes on."""
    fleet.until(lambda: fleet.group("g0")["state"] == "given up")
    status = fleet.ask("status")
    assert (status["state"], status["is_ready"]) == ("degraded", False)
    assert [(group["id"], group["is_open"], group["in_flight"]) for group in status["groups"]] == [
        ("g0", False, 0),
        ("g1", True, 0),
    ]
    assert "degraded" in fleet.run_verb("status").stdout
    with pytest.raises(Unavailable, match="no group that holds model 'm0' is open") as caught:
        client.infer("m0", {"INPUT0": X})
    assert caught.value.reason == "UNAVAILABLE"
    with pytest.raises(Unavailable, match="group g0"):
        client.load("m0", timeout_s=60.0)
    assert not client.is_ready() and not client.is_model_ready("m0")
    states = {model.name: model.state for model in client.models()}
    assert states == {"m0": "UNAVAILABLE", "m1": "READY"}


@pytest.mark.parametrize("heard", ["starting Ray", "group g0: loading"])
def test_a_fleet_that_starts_answers_that_it_is_not_ready_and_ends_when_told_to(
    folder: Path, serve: Callable[..., ServedFleet], heard: str
):
    # So many shapes to compile that it is still at it when we are done.
    shapes = "batch_sizes: [1, 2, 3, 4, 5, 6, 7, 8], sequence_lengths: [8, 16, 24, 32]"
    fleet = serve(write_small_fleet(folder, models=f'{{source: "{GPT2}", {shapes}}}'))
    fleet.until_said(heard)
    status = fleet.ask("status")
    assert (status["state"], status["is_ready"]) == ("loading", False)
    with Client(status["endpoints"]["grpc"]) as client:
        assert client.is_live() and not client.is_ready() and not client.is_model_ready("m0")
        with pytest.raises(Unavailable, match="no group that holds model 'm0' is open"):
            client.infer("m0", {"input_ids": np.ones((1, 4), np.int64)})
    fleet.process.send_signal(signal.SIGTERM)
    assert fleet.wait() == 0, fleet.said
    assert "ready after" not in fleet.said
    assert "error: " not in fleet.said, fleet.said
    fleet.check_clean_end()


def test_a_killed_fleet_takes_all_of_ray_along_after_its_grace_and_can_be_started_again(
    folder: Path, serve: Callable[..., ServedFleet]
):
    fleet = serve(write_small_fleet(folder), "--set", "serving.health.orphan_grace_s=0.5")
    fleet.until_ready()
    assert len(fleet.marked_processes()) > 4
    fleet.process.kill()
    assert fleet.wait() == -signal.SIGKILL
    (socket,) = (folder / ROOT).glob("*/control.sock")
    asked = fleet.run_verb("status")
    assert asked.returncode == 4 and "error: no fleet answers at" in asked.stderr
    again = serve(folder, "--set", "cluster.address=127.0.0.1:1")
    assert again.wait() == 4, "the socket of the dead fleet is in nobody's way"
    socket.unlink(missing_ok=True)
    fleet.check_clean_end()
