"""A worker that is five times slower, and one that is killed while its weights travel."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client
from tests.live.crowd import crowd
from tests.live.fault_fleet import until_back, workers_of, write_fault_fleet
from tests.live.fleet_files import write_profile
from tests.live.fleet_process import ServedFleet

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]
# Of every 50 ms.
STOPPED_S, RUNNING_S = 0.04, 0.01
MIB = 2**20
HEAVY = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: heavy}
cluster:
  nodes: [{name: n, count: 2, devices: {type: cpu, count: 1, memory: 2GiB}}]
models:
- name: bert
  source: random://bert-base?seed=3
  profile: bert.json
  batch_sizes: [1]
  sequence_lengths: [16]
serving: {health: {beat_timeout_s: 60, restarts: {backoff_s: 0.1, max_backoff_s: 0.5, max_restarts: 20}}}
"""
HEAVY_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0"], models: [bert]}
- {id: g1, devices: ["n-1:0"], models: [bert]}
"""


@contextmanager
def slowed(pid: int) -> Iterator[None]:
    """The process has a fifth of the time meanwhile."""
    over = threading.Event()

    def stop_and_go() -> None:
        with suppress(ProcessLookupError):
            while not over.wait(RUNNING_S):
                os.kill(pid, signal.SIGSTOP)
                over.wait(STOPPED_S)
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def serving(folder: Path) -> Iterator[ServedFleet]:
    fleet = ServedFleet(folder)
    try:
        fleet.until_ready()
        yield fleet
        fleet.ask("stop")
        assert fleet.wait() == 0, fleet.said
        fleet.check_clean_end()
    finally:
        fleet.kill()


def resident_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def test_a_slow_worker_costs_nobody_an_answer_and_is_not_taken_for_dead() -> None:
    with tempfile.TemporaryDirectory(prefix="live-") as path, serving(write_fault_fleet(Path(path))) as fleet:
        address, pid = fleet.ask("status")["endpoints"]["grpc"], fleet.group("g0")["pid"]
        with crowd(address, *["quick"] * 4) as clients:
            with slowed(pid):
                fleet.until(lambda: len(clients.heard) >= 300)
            fleet.until(lambda: len(clients.heard) >= 400)
        clients.check()
        assert (fleet.group("g0")["pid"], fleet.group("g0")["num_restarts"]) == (pid, 0)


def test_a_worker_killed_while_its_weights_come_is_started_again_and_the_sender_serves_on() -> None:
    with tempfile.TemporaryDirectory(prefix="live-") as path:
        folder = Path(path)
        write_profile(folder / "bert.json", stage_s=0.3, weight_bytes=440_000_000)
        (folder / "deployment.yaml").write_text(HEAVY)
        (folder / "plan.yaml").write_text(HEAVY_PLAN)
        ids = np.arange(1, 17, dtype=np.int64)[None]
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        with serving(folder) as fleet, Client(fleet.ask("status")["endpoints"]["grpc"]) as client:
            expected = client.infer("bert", inputs, timeout_s=60.0).outputs
            before = {fleet.group(name)["pid"] for name in ("g0", "g1")}
            killed = fleet.group("g0")["pid"]
            os.kill(killed, signal.SIGKILL)
            fleet.until(lambda: bool(workers_of(fleet) - before))
            (target,) = workers_of(fleet) - before
            empty_bytes = resident_bytes(target)
            fleet.until(lambda: resident_bytes(target) > empty_bytes + 200 * MIB)
            assert fleet.group("g0")["state"] == "starting"
            os.kill(target, signal.SIGKILL)
            until_back(fleet, "g0", not_pids={killed, target})
            outputs = client.infer("bert", inputs, timeout_s=60.0).outputs
            assert all(np.array_equal(outputs[name], expected[name]) for name in expected)
            assert fleet.group("g1")["num_restarts"] == 0
