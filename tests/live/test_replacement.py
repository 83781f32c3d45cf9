"""Versions, models on demand and a plan that follows its traffic, on a fleet of real processes."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statmux.client import Client
from tests.live.crowd import crowd
from tests.live.fleet_files import write_profile
from tests.live.fleet_process import ServedFleet

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]
X = np.arange(6, dtype=np.int32)
DEPLOYMENT = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: elastic}
cluster:
  nodes: [{name: n, count: 1, devices: {type: cpu, count: 3, memory: 1GiB}}]
models:
- name: chat
  engine: emulated
  slo: {latency_ms: 5000}
  profile: fast.json
  versions: {v1: {}, v2: {}}
  split: {v1: 80, v2: 20}
- {name: rare, engine: emulated, profile: fast.json, on_demand: {enabled: true, idle_unload_s: 3}}
placement: {search: {time_budget_s: 1}}
serving: {health: {beat_timeout_s: 60}}
"""
PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0"], models: [chat@v1]}
- {id: g1, devices: ["n-0:1"], models: [chat@v2]}
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    with tempfile.TemporaryDirectory(prefix="live-") as path:
        folder = Path(path)
        write_profile(folder / "fast.json", stage_s=0.002)
        (folder / "deployment.yaml").write_text(DEPLOYMENT)
        (folder / "plan.yaml").write_text(PLAN)
        served = ServedFleet(folder)
        try:
            served.until_ready()
            yield served
            assert served.run_verb("stop", "--wait").returncode == 0
            assert served.wait() == 0, served.said
            served.check_clean_end()
        finally:
            served.kill()


@pytest.fixture
def client(fleet: ServedFleet) -> Iterator[Client]:
    with Client(fleet.ask("status")["endpoints"]["grpc"]) as ours:
        yield ours


def applied(fleet: ServedFleet, text: str) -> dict[str, Any]:
    (fleet.folder / "changed.yaml").write_text(text)
    ran = fleet.run_verb("apply", "changed.yaml", "-o", "json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def counts(fleet: ServedFleet) -> Counter[str]:
    models = fleet.ask("status")["models"]
    return Counter({name: one["num_served"] for name, one in models.items()})


def asked(fleet: ServedFleet, client: Client, count: int) -> Counter[str]:
    """Which versions answered so many calls that named none."""
    before = counts(fleet)
    for number in range(count):
        client.infer("chat", {"INPUT0": X}, request_id=f"r{number}")
    return counts(fleet) - before


def test_a_split_is_changed_under_load_and_rolled_back(fleet: ServedFleet, client: Client):
    first = asked(fleet, client, 40)
    assert set(first) == {"chat@v1", "chat@v2"}
    client.infer("chat@v2", {"INPUT0": X})
    done = applied(fleet, DEPLOYMENT.replace("{v1: 80, v2: 20}", "{v1: 0, v2: 100}"))
    assert done["changes"] == ["models.chat.split: v1 80, v2 20 -> v1 0, v2 100"]
    assert done["steps"] == []
    assert asked(fleet, client, 10) == {"chat@v2": 10}
    applied(fleet, DEPLOYMENT)
    assert asked(fleet, client, 40) == first


def test_a_version_comes_and_goes_while_clients_ask(fleet: ServedFleet):
    three = DEPLOYMENT.replace("v2: {}}", "v2: {}, v3: {}}").replace("v2: 20}", "v2: 10, v3: 10}")
    with crowd(fleet.ask("status")["endpoints"]["grpc"], "chat", "chat") as clients:
        clients.until_served("chat", after_s=0.0)
        done = applied(fleet, three)
        assert done["models_added"] == ["chat@v3"]
        assert done["interrupted"] == []
        fleet.until(lambda: counts(fleet)["chat@v3"] > 0)
        applied(fleet, DEPLOYMENT)
        clients.until_served("chat", after_s=time.monotonic())
    clients.check()
    held = [model for group in fleet.ask("status")["groups"] for model in group["models"]]
    assert sorted(set(held)) == ["chat@v1", "chat@v2"]


def test_a_model_is_loaded_when_it_is_asked_for_and_goes_when_it_is_idle(fleet: ServedFleet, client: Client):
    def holders() -> list[str]:
        return [group["id"] for group in fleet.ask("status")["groups"] if "rare" in group["models"]]

    assert holders() == []
    (answer,) = client.infer("rare", {"INPUT0": X}).outputs.values()
    assert answer.tolist() == X.tolist()
    assert len(holders()) == 1
    fleet.until(lambda: holders() == [])
    client.infer("rare", {"INPUT0": X})
    ran = fleet.run_verb("explain", "--last", "50", "-o", "json")
    verbs = [
        one.get("words", one).get("verb")
        for one in json.loads(ran.stdout)["events"]
        if one["kind"] == "on_demand"
    ]
    assert verbs[-3:] == ["load", "unload", "load"]
