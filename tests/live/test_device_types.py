"""A living fleet of two device types, with slow links: costs are those of where a group is.

In the end it is told twice to end.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client, Rejected, Unavailable
from tests.live.crowd import in_flight
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)
DEPLOYMENT = """\
metadata: {name: two-types}
cluster:
  network: {inter_node_bandwidth: 1MB/s, latency: 1ms}
  nodes:
  - {name: f, count: 1, devices: {type: fast-cpu, count: 2, memory: 1GiB}}
  - {name: s, count: 2, devices: {type: slow-cpu, count: 1, memory: 1GiB}}
models:
- {name: here, engine: emulated, profile: {fast-cpu: fast.json, slow-cpu: slow.json}, slo: {latency_ms: 700}}
- {name: there, engine: emulated, profile: [fast.json, slow.json], slo: {latency_ms: 700}}
- {name: patient, engine: emulated, profile: [fast.json, slow.json]}
serving: {health: {beat_timeout_s: 60}}
"""
# Each stage takes 0.01 s on the fast type and 0.05 s on the slow, and a transfer between hosts a second.
PLAN = """\
groups:
- {id: fast, devices: ["f-0:0", "f-0:1"], pipeline: 2, models: [here]}
- {id: slow, devices: ["s-0:0", "s-1:0"], pipeline: 2, models: [there, patient]}
"""


def write_fleet(folder: Path) -> Path:
    for device_type, stage_s in (("fast", 0.01), ("slow", 0.05)):
        entry = {
            "tensor": 1,
            "pipeline": 2,
            "weight_bytes": [100, 100],
            "stage_latency_s": {"1": [stage_s, stage_s]},
            "output_bytes": {"1": [1_000_000, 0]},
        }
        profile = {"kind": "ModelProfile", "model": "any", "device_type": f"{device_type}-cpu"}
        (folder / f"{device_type}.json").write_text(json.dumps(profile | {"entries": [entry]}))
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "plan.yaml").write_text(PLAN)
    return folder


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    """The last test ends it."""
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        served = ServedFleet(write_fleet(Path(path)))
        stack.callback(served.kill)
        served.until_ready()
        yield served


@pytest.fixture
def client(fleet: ServedFleet) -> Iterator[Client]:
    with Client(fleet.ask("status")["endpoints"]["grpc"]) as ours:
        yield ours


def test_a_group_is_judged_by_its_device_type_and_by_the_hosts_it_crosses(client: Client):
    assert client.infer("here", {"INPUT0": X}).group == "fast"
    with pytest.raises(Rejected):
        client.infer("there", {"INPUT0": X})
    assert client.infer("patient", {"INPUT0": X}).group == "slow"


def test_a_second_signal_does_not_wait_and_says_so_to_who_does(fleet: ServedFleet, client: Client):
    with ThreadPoolExecutor() as pool, fleet.held("slow"):
        waiting = in_flight(fleet, client, pool, "patient", count=2)
        fleet.process.send_signal(signal.SIGTERM)
        fleet.until(lambda: fleet.ask("status")["state"] == "draining")
        assert not client.is_ready()
        with pytest.raises(Unavailable, match="draining"):
            client.infer("patient", {"INPUT0": X})
        fleet.process.send_signal(signal.SIGINT)
        for call in waiting:
            with pytest.raises(Unavailable, match="the fleet stopped before it answered") as caught:
                call.result()
            assert caught.value.reason == "DRAINING"
    assert fleet.wait() == 0, fleet.said
    fleet.check_clean_end()
