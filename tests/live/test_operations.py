"""A fleet in an operator's hands: changed, drained, explained, and ended, while clients go on asking."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statmux.client import Client, ClientError
from tests.live.crowd import crowd
from tests.live.fleet_files import write_small_fleet
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    """m0, m1 and m2, each alone in a group, and a fourth device that is free; the last test ends it."""
    with tempfile.TemporaryDirectory(prefix="live-") as path:
        folder = write_small_fleet(
            Path(path), num_groups=3, models="slo: {latency_ms: 5000}, engine: emulated"
        )
        plan = (folder / "plan.yaml").read_text()
        (folder / "other.yaml").write_text(plan.replace("models: [m0]", "models: [m0, m1]"))
        served = ServedFleet(folder)
        try:
            served.until_ready()
            yield served
            if not served.marked_processes():
                assert served.wait() == 0, served.said
                served.check_clean_end()
        finally:
            served.kill()


@pytest.fixture(scope="module")
def address(fleet: ServedFleet) -> str:
    return fleet.ask("status")["endpoints"]["grpc"]


def told(fleet: ServedFleet, *words: str) -> dict[str, Any]:
    """The one document that a verb prints."""
    ran = fleet.run_verb(*words, "-o", "json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def placed(fleet: ServedFleet) -> dict[str, list[str]]:
    return {group["id"]: group["models"] for group in fleet.ask("status")["groups"]}


def test_a_plan_is_shown_and_applied_under_load_and_no_request_fails(fleet: ServedFleet, address: str):
    shown = told(fleet, "apply", "other.yaml", "--dry-run")
    assert shown["steps"] == ["load m1 on g0", "open m1 on g0"]
    assert (shown["is_applied"], shown["interrupted"], shown["num_bytes"]) == (False, [], 0)
    with crowd(address, "m0", "m1", "m2") as clients:
        clients.until_served("m1", after_s=0.0)
        done = told(fleet, "apply", "other.yaml")
        assert (done["is_applied"], done["is_converged"]) == (True, True)
        assert placed(fleet) == {"g0": ["m0", "m1"], "g1": ["m1"], "g2": ["m2"]}
        assert told(fleet, "apply", "plan.yaml")["steps"] == [
            "close m1 on g0 and let it finish",
            "unload m1 from g0",
        ]
        clients.until_served("m1", after_s=time.monotonic())
    clients.check()
    assert placed(fleet) == {"g0": ["m0"], "g1": ["m1"], "g2": ["m2"]}
    assert told(fleet, "apply", "plan.yaml")["is_nothing"]


def test_a_deployment_changes_what_may_change_and_names_what_may_not(fleet: ServedFleet):
    text = (fleet.folder / "deployment.yaml").read_text()
    (fleet.folder / "faster.yaml").write_text(text.replace("latency_ms: 5000", "latency_ms: 4000"))
    done = told(fleet, "apply", "faster.yaml")
    assert done["changes"][0] == "models.m0.slo.latency_s: 5 -> 4"
    assert (done["steps"], done["is_converged"]) == ([], True)
    ran = fleet.run_verb("apply", "deployment.yaml", "--set", "metadata.name=another")
    assert ran.returncode == 2
    assert "metadata.name" in ran.stderr


def test_a_group_is_drained_under_load_and_taken_back(fleet: ServedFleet, address: str):
    told(fleet, "apply", "other.yaml")
    with crowd(address, "m0", "m1", "m2") as clients:
        clients.until_served("m1", after_s=0.0)
        assert told(fleet, "drain", "g1")["unplaced"] == []
        assert placed(fleet) == {"g0": ["m0", "m1"], "g2": ["m2"]}
        assert "drained: g1" in fleet.run_verb("status").stdout
        assert told(fleet, "drain", "g1", "--undo")["state"] == "open"
        clients.until_served("m1", after_s=time.monotonic())
    clients.check()
    assert placed(fleet) == {"g0": ["m0", "m1"], "g1": ["m1"], "g2": ["m2"]}


def test_a_request_is_explained_and_so_is_its_refusal(fleet: ServedFleet, address: str):
    with Client(address) as client:
        client.infer("m0", {"INPUT0": X}, request_id="good")
        fleet.run_verb("models", "unload", "m0")
        with pytest.raises(ClientError):
            client.infer("m0", {"INPUT0": X}, request_id="bad", timeout_s=5.0)
        assert told(fleet, "models", "load", "m0")["models"]["m0"]["state"] == "READY"
        client.infer("m0", {"INPUT0": X})
    good = told(fleet, "explain", "good")
    assert (good["request"]["group"], good["request"]["fate"]) == ("g0", "served")
    assert any(one.startswith("It went to g0 since no other group") for one in good["sentences"])
    assert any("has m0 on g0" in one for one in good["sentences"])
    bad = told(fleet, "explain", "bad")
    assert bad["request"]["fate"] == "not_loaded"
    assert "models" in [one["kind"] for one in bad["around"]]
    assert told(fleet, "models", "ls")["models"]["m0"]["groups"] == ["g0"]
    kinds = [one["kind"] for one in told(fleet, "explain", "--last", "200")["events"]]
    assert {"started", "plan", "converged", "open", "apply", "drain", "undrain"} <= set(kinds)


def test_nothing_secret_is_in_the_journal_and_the_fleet_ends_when_asked(fleet: ServedFleet):
    folder = fleet.folder / ".statmux" / "small"
    secrets = json.loads((folder / "keys.json").read_text()).values()
    written = b"".join(each.read_bytes() for each in folder.glob("journal.db*"))
    assert len(written) > 10_000
    assert not [secret for secret in secrets if secret.encode() in written or secret in fleet.said]
    assert told(fleet, "stop", "--wait")["state"] == "stopped"
