"""A worker is hit in each of its states: everyone has one answer, and the group comes back."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client, ClientError
from tests.live.crowd import crowd
from tests.live.fault_fleet import command_of, until_back, workers_of, write_fault_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    """Hit by every test of this file; the last one ends it."""
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        served = ServedFleet(write_fault_fleet(Path(path)))
        stack.callback(served.kill)
        served.until_ready()
        yield served


@pytest.fixture(scope="module")
def address(fleet: ServedFleet) -> str:
    return fleet.ask("status")["endpoints"]["grpc"]


@pytest.fixture(autouse=True)
def whole(fleet: ServedFleet) -> Iterator[None]:
    """After each test all groups are open, and nothing is in flight; or the fleet has ended."""
    yield
    if fleet.process.poll() is not None:
        return
    fleet.until(lambda: fleet.ask("status")["state"] == "ready" and fleet.ask("status")["is_converged"])
    assert {group["in_flight"] for group in fleet.ask("status")["groups"]} == {0}


def reason_of(client: Client, model: str) -> str:
    try:
        client.infer(model, {"INPUT0": X}, timeout_s=20.0)
    except ClientError as error:
        return error.reason
    return ""


def test_a_killed_worker_costs_only_what_it_was_working_on_and_comes_back(fleet: ServedFleet, address: str):
    pid = fleet.group("g0")["pid"]
    with crowd(address, *["quick"] * 4) as clients:
        clients.until_served("quick", after_s=0.0)
        os.kill(pid, signal.SIGKILL)
        clients.until_served("quick", after_s=time.monotonic())
        until_back(fleet, "g0", not_pids=(pid,))
    clients.check(may_be=["LOST"])
    assert clients.reasons()["LOST"] <= 4
    assert fleet.group("g0")["num_restarts"] >= 1


def test_of_a_worker_that_dies_in_a_batch_what_had_not_begun_goes_elsewhere(fleet: ServedFleet, address: str):
    with Client(address) as client, ThreadPoolExecutor() as pool:
        calls = [pool.submit(reason_of, client, "steady") for _ in range(4)]
        fleet.until(lambda: fleet.group("g2")["in_flight"] == 2 == fleet.group("g3")["in_flight"])
        pid = fleet.group("g2")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert Counter(call.result() for call in calls) == {"": 3, "LOST": 1}
    until_back(fleet, "g2", not_pids=(pid,))


def test_a_worker_that_stands_still_is_killed_when_it_is_noticed(fleet: ServedFleet, address: str):
    pid = fleet.group("g1")["pid"]
    with crowd(address, *["quick"] * 4) as clients:
        clients.until_served("quick", after_s=0.0)
        os.kill(pid, signal.SIGSTOP)
        until_back(fleet, "g1", not_pids=(pid,))
    # Whoever was not told that it is lost would have given up by itself, with another reason.
    clients.check(may_be=["LOST"])


def test_a_worker_that_dies_while_it_starts_is_started_again(fleet: ServedFleet, address: str):
    known = workers_of(fleet)
    pid = fleet.group("g3")["pid"]
    os.kill(pid, signal.SIGKILL)
    fleet.until(lambda: bool(workers_of(fleet) - known))
    (starting,) = workers_of(fleet) - known
    os.kill(starting, signal.SIGKILL)
    # On a slow machine it had just started when it was killed.
    until_back(fleet, "g3", not_pids=(pid, starting))
    with Client(address) as client:
        assert reason_of(client, "steady") == ""


def test_a_worker_that_dies_while_it_drains_is_drained(fleet: ServedFleet, address: str):
    pid = fleet.group("g2")["pid"]
    with Client(address) as client, ThreadPoolExecutor() as pool:
        calls = [pool.submit(reason_of, client, "steady") for _ in range(4)]
        fleet.until(lambda: fleet.group("g2")["in_flight"] == 2)
        drained = pool.submit(fleet.ask, "drain", target="g2")
        fleet.until(lambda: fleet.group("g2")["state"] == "closing")
        os.kill(pid, signal.SIGKILL)
        assert drained.result()["state"] == "drained"
        assert Counter(call.result() for call in calls) == {"": 3, "LOST": 1}
    assert [group["id"] for group in fleet.ask("status")["groups"]] == ["g0", "g1", "g3"]
    assert fleet.ask("undrain", target="g2")["state"] == "open"


def test_a_worker_without_memory_is_lost_and_comes_back(fleet: ServedFleet, address: str):
    """Its limit is what it has now, and a request is larger than that."""
    pid = fleet.group("g0")["pid"]
    size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (size, size))
    large = np.zeros(8_000_000, np.int32)
    with Client(address) as client, ThreadPoolExecutor() as pool:
        calls = [pool.submit(client.infer, "quick", {"INPUT0": large}, timeout_s=20.0) for _ in range(2)]
        for call in calls:
            error = call.exception()
            assert error is None or (isinstance(error, ClientError) and error.reason in ("LOST", "FAILED"))
        fleet.until(lambda: fleet.group("g0")["state"] == "open")
        assert reason_of(client, "quick") == ""


def test_a_journal_that_cannot_be_written_stops_nothing_and_is_told(fleet: ServedFleet, address: str):
    """The controller's files may not grow: as on a full disk, every write fails."""
    controller = fleet.process.pid
    before = resource.prlimit(controller, resource.RLIMIT_FSIZE)
    resource.prlimit(controller, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with Client(address) as client:
            fleet.until(lambda: reason_of(client, "quick") == "" and told(fleet) != [])
            assert reason_of(client, "steady") == ""
    finally:
        resource.prlimit(controller, resource.RLIMIT_FSIZE, before)
    fleet.until(lambda: told(fleet) == [])


@pytest.mark.nightly
def test_a_fleet_whose_ray_dies_ends_with_an_error_and_leaves_nothing(fleet: ServedFleet):
    os.kill(keeper_of(fleet), signal.SIGKILL)
    assert fleet.wait() == 1
    assert "error: the Ray of this fleet died, and all groups with it" in fleet.said
    assert "Traceback" not in fleet.said
    for left in fleet.ray_folders:  # Its keeper would have removed it.
        shutil.rmtree(left, ignore_errors=True)
    fleet.check_clean_end()


def keeper_of(fleet: ServedFleet) -> int:
    """The older of its two processes."""
    return min(pid for pid in fleet.marked_processes() if "on_ray/keeper" in command_of(pid))


def told(fleet: ServedFleet) -> list[str]:
    """Problems of the journal."""
    return [sentence for sentence in fleet.ask("status")["problems"] if "journal" in sentence]
