"""A fleet that computes: stages on two hosts, beside a replica that got its weights from there, and a user's
own function, shared by two devices as `placement.intra` plans it. In the end its drain takes too long.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client, Unavailable
from tests.live.crowd import in_flight
from tests.live.fleet_files import GPT2, SEQUENCE_LENGTH, write_profile
from tests.live.fleet_process import ServedFleet
from tests.live.test_verbs import scraped, total

pytestmark = pytest.mark.cluster
_USED = "statmux_device_memory_used_bytes"
_MODULE = """\
import jax
import numpy as np

def build():
    draw = np.random.default_rng(0)
    parameters = {"up": draw.standard_normal((32, 64)).astype("float32"),
                  "down": draw.standard_normal((64, 8)).astype("float32")}
    def apply(parameters, inputs):
        return {"scores": jax.nn.relu(inputs["features"] @ parameters["up"]) @ parameters["down"]}
    return apply, parameters, {"features": ("float32", (-1, 32))}
"""
_DEPLOYMENT = f"""\
api_version: v1alpha1
kind: Deployment
metadata: {{name: wide}}
cluster:
  nodes:
  - {{name: n, count: 2, devices: {{type: cpu, count: 3, memory: 64GiB}}}}
security: {{allow_python_models: true}}
serving: {{drain: {{graceful_shutdown_timeout_s: 0.1}}, health: {{beat_timeout_s: 60}}}}
models:
- {{name: gpt2, source: "{GPT2}", profile: large.json, sequence_lengths: [{SEQUENCE_LENGTH}]}}
- {{name: scores, source: "python://scoring:build", profile: small.json, batch_sizes: [1, 4]}}
- {{name: endless, engine: emulated, profile: endless.json}}
"""
_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: wide, devices: ["n-0:0", "n-1:0"], tensor: 1, pipeline: 2, models: [gpt2]}
- {id: lone, devices: ["n-1:1"], tensor: 1, pipeline: 1, models: [gpt2]}
- {id: own, devices: ["n-0:1", "n-0:2"], tensor: 2, pipeline: 1, models: [scores]}
- {id: late, devices: ["n-1:2"], tensor: 1, pipeline: 1, models: [endless]}
"""
REQUEST = {"input_ids": np.arange(5, dtype=np.int64)[None]}


@pytest.fixture(scope="module")
def fleet() -> Iterator[ServedFleet]:
    """The last test ends it."""
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        folder = Path(path)
        # As large as if sending were worth it; the model itself is tiny.
        write_profile(folder / "large.json", stage_s=0.002, weight_bytes=4 * 10**9)
        write_profile(folder / "small.json", stage_s=0.002)
        write_profile(folder / "endless.json", stage_s=600.0)
        for name, text in (("scoring.py", _MODULE), ("deployment.yaml", _DEPLOYMENT), ("plan.yaml", _PLAN)):
            (folder / name).write_text(text)
        served = ServedFleet(folder)
        stack.callback(served.kill)
        served.until_ready()
        yield served


@pytest.fixture
def client(fleet: ServedFleet) -> Iterator[Client]:
    with Client(fleet.ask("status")["endpoints"]["grpc"]) as ours:
        yield ours


def test_a_function_of_ones_own_is_served(client: Client) -> None:
    draw = np.random.default_rng(0)
    up, down = draw.standard_normal((32, 64)), draw.standard_normal((64, 8))
    features = draw.standard_normal((3, 32)).astype(np.float32)
    answer = client.infer("scores", {"features": features})
    expected = np.maximum(features @ up, 0) @ down
    np.testing.assert_allclose(answer.outputs["scores"], expected, rtol=1e-4, atol=1e-4)


def test_stages_on_two_hosts_answer_as_one_group_and_are_lost_together(fleet: ServedFleet, client: Client):
    assert "group wide: loading 1 models on n-0, n-1" in fleet.said
    assert " of gpt2 from group wide in " in fleet.said
    check_metrics(fleet)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.infer("gpt2", REQUEST), range(12)))
    assert {answer.group for answer in answers} == {"wide", "lone"}
    for answer in answers:
        np.testing.assert_allclose(answer.outputs["logits"], answers[0].outputs["logits"], rtol=0, atol=1e-5)
    (follower,) = [pid for pid in fleet.marked_processes() if "FollowerWorker" in title_of(pid)]
    os.kill(follower, signal.SIGKILL)
    fleet.until(lambda: not fleet.group("wide")["is_open"])
    assert {client.infer("gpt2", REQUEST).group for _ in range(3)} == {"lone"}


def check_metrics(fleet: ServedFleet) -> None:
    """Devices of both hosts tell what they hold; what lone holds is what came from wide."""
    lone = {"node": "n-1", "device": "n-1:1", "group": "lone"}
    held = [
        {"node": "n-0", "device": "n-0:0", "group": "wide"},
        {"node": "n-1", "device": "n-1:0", "group": "wide"},
        {"node": "n-0", "device": "n-0:1", "group": "own"},
        {"node": "n-0", "device": "n-0:2", "group": "own"},
    ]
    fleet.until(lambda: all(total(scraped(fleet), _USED, **one) > 0 for one in (*held, lone)))
    samples = scraped(fleet)
    came = total(samples, "statmux_reshard_bytes_total", model="gpt2", group="lone")
    assert total(samples, _USED, **lone) == came > 0
    assert sum(total(samples, _USED, **one) for one in held[:2]) >= came
    (labels,) = [dict(key) for key in samples["statmux_weights_load_seconds"] if ("group", "lone") in key]
    assert labels["origin"] == "replica"


def test_a_drain_that_takes_too_long_is_cut_short(fleet: ServedFleet, client: Client):
    with ThreadPoolExecutor() as pool:
        (waiting,) = in_flight(fleet, client, pool, "endless", count=1)
        stopped = fleet.run_verb("stop", "--wait", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        with pytest.raises(Unavailable, match="the fleet stopped before it answered"):
            waiting.result()
    assert fleet.wait() == 0, fleet.said
    fleet.check_clean_end()


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
