"""A fleet of two front ends: both answer, both hear of what changes, and one that is killed comes back."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statmux.client import Client, ClientError
from tests.deploy.prometheus_server import PrometheusServer
from tests.live.fleet_files import write_small_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)
SERVING = """\
serving:
  front_ends: 2
  policy: {router: power_of_two}
  health: {beat_timeout_s: 60, restarts: {backoff_s: 0.1}}
  drain: {readiness_lead_s: 0, graceful_shutdown_timeout_s: 20}
"""
PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [m0]}
- {id: g1, devices: ["n-0:1"], tensor: 1, pipeline: 1, models: [m1, m2]}
"""
# Of so many connections, all go to one of two front ends once in 2 ** 39 times.
NUM_CONNECTIONS = 40


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    """m0 on g0; m1 and m2 on g1."""
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        folder = write_small_fleet(Path(path), num_groups=3)
        with (folder / "deployment.yaml").open("a") as file:
            file.write(SERVING)
        (folder / "plan.yaml").write_text(PLAN)
        served = ServedFleet(folder)
        stack.callback(served.kill)
        served.until_ready()
        yield served


def infer_on_a_new_connection(fleet: ServedFleet, model: str = "m0") -> None:
    """Connections go to front ends by their ports; each client has one of its own."""
    with Client(fleet.ask("status")["endpoints"]["grpc"]) as client:
        np.testing.assert_array_equal(client.infer(model, {"INPUT0": X}).outputs["OUTPUT0"], X)


def infer_over_http(address: str, model: str) -> list[int]:
    """The output; also on a connection of its own."""
    asked = {"inputs": [{"name": "INPUT0", "datatype": "INT32", "shape": [6], "data": X.tolist()}]}
    request = urllib.request.Request(
        f"http://{address}/v2/models/{model}/infer",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60.0) as reply:
        return json.load(reply)["outputs"][0]["data"]


def front_end(fleet: ServedFleet) -> dict[str, Any]:
    """The one that is not the fleet's process."""
    (told,) = fleet.ask("status")["front_ends"]
    return told


def num_served(address: str) -> int:
    """By one front end's own metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10.0) as page:
        lines = page.read().decode()
    return sum(
        int(float(n)) for n in re.findall(r'statmux_requests_total\{[^}]*code="OK"[^}]*\} (\S+)', lines)
    )


def test_both_answer_and_status_adds_them_up(fleet: ServedFleet) -> None:
    for _ in range(NUM_CONNECTIONS):
        infer_on_a_new_connection(fleet)
    own, further = fleet.ask("status")["endpoints"]["metrics"], front_end(fleet)["metrics"]
    counts = [num_served(own), num_served(further)]
    assert min(counts) > 0, counts
    assert sum(counts) == NUM_CONNECTIONS
    fleet.until(lambda: fleet.ask("status")["models"]["m0"]["num_served"] == NUM_CONNECTIONS)
    shown = fleet.run_verb("status")
    assert shown.returncode == 0, shown.stderr


def test_a_prometheus_adds_up_what_both_count_and_takes_what_groups_tell_once(
    fleet: ServedFleet, tmp_path: Path
) -> None:
    """With a token, as the example configuration has it; on this machine it is not looked at."""
    (tmp_path / "token").write_text("a secret")
    told = (fleet.ask("status")["endpoints"]["metrics"], front_end(fleet)["metrics"])
    ports = [int(address.rpartition(":")[2]) for address in told]
    token = {"credentials_file": str(tmp_path / "token")}
    with closing(PrometheusServer(tmp_path, ports, authorization=token)) as prometheus:
        prometheus.until_ready()
        for _ in range(4):
            infer_on_a_new_connection(fleet)
        num_answered = sum(num_served(address) for address in told)
        for expression, value in {
            "sum(up)": 2,
            'sum(statmux_requests_total{code="OK"})': num_answered,
            "count(statmux_group_up == 1)": 4,
            "sum(max by (group) (statmux_group_up))": 2,
            'sum(max by (device) (statmux_device_memory_used_bytes{group="g1"}))': 2 * 2_000_000,
            "count(statmux_journal_writes == 1)": 1,
            "count(statmux:stage_busy:ratio_rate5m)": 2,
        }.items():
            prometheus.until_value(expression, value)


def test_a_model_that_is_unloaded_is_closed_on_both_until_it_is_loaded_again(fleet: ServedFleet) -> None:
    assert fleet.run_verb("models", "unload", "m2").returncode == 0

    def is_refused() -> bool:
        try:
            infer_on_a_new_connection(fleet, "m2")
        except ClientError:
            return True
        return False

    fleet.until(is_refused)
    assert all(is_refused() for _ in range(NUM_CONNECTIONS // 2))
    assert fleet.run_verb("models", "load", "m2").returncode == 0
    for _ in range(NUM_CONNECTIONS // 2):
        infer_on_a_new_connection(fleet, "m2")


def test_one_that_is_killed_cuts_its_clients_and_comes_back_and_the_other_serves_on(
    fleet: ServedFleet,
) -> None:
    before = front_end(fleet)
    address = fleet.ask("status")["endpoints"]["http"]
    with fleet.held("g0"), ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(infer_over_http, address, "m0") for _ in range(12)]
        fleet.until(lambda: fleet.ask("status")["num_pending"] == len(calls))
        num_doomed = front_end(fleet)["num_pending"]
        os.kill(before["pid"], signal.SIGKILL)
        fleet.until(lambda: fleet.ask("status")["num_pending"] == len(calls) - num_doomed)
        infer_on_a_new_connection(fleet, "m1")
        os.kill(fleet.group("g0")["pid"], signal.SIGCONT)
        errors = [call.exception() for call in calls]
    assert sum(error is not None for error in errors) == num_doomed, errors
    fleet.until(lambda: front_end(fleet)["state"] == "open")
    after = front_end(fleet)
    assert after["pid"] != before["pid"]
    assert after["front"] != before["front"]
    for _ in range(NUM_CONNECTIONS):
        infer_on_a_new_connection(fleet)
    assert num_served(after["metrics"]) > 0


def test_what_both_have_accepted_is_answered_when_the_fleet_ends(fleet: ServedFleet) -> None:
    address = fleet.ask("status")["endpoints"]["http"]
    with ThreadPoolExecutor(12) as pool:
        with fleet.held("g0"):
            calls = [pool.submit(infer_over_http, address, "m0") for _ in range(12)]
            fleet.until(lambda: fleet.ask("status")["num_pending"] == len(calls))
            fleet.process.send_signal(signal.SIGTERM)
            fleet.until(lambda: fleet.ask("status")["state"] == "draining")
        assert [call.result() for call in calls] == [X.tolist()] * len(calls)
    assert fleet.wait() == 0, fleet.said
    fleet.check_clean_end()
    with pytest.raises(OSError, match="refused"):
        infer_over_http(address, "m0")
