"""A model whose stages lie on two hosts, beside a replica that got its weights from there."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client
from tests.live.fleet_files import GPT2, SEQUENCE_LENGTH, write_profile
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster
_DEPLOYMENT = f"""\
api_version: v1alpha1
kind: Deployment
metadata: {{name: wide}}
cluster:
  nodes:
  - {{name: n, count: 2, devices: {{type: cpu, count: 2, memory: 64GiB}}}}
models:
- {{name: gpt2, source: "{GPT2}", profile: profile.json, sequence_lengths: [{SEQUENCE_LENGTH}]}}
"""
_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: wide, devices: ["n-0:0", "n-1:0"], tensor: 1, pipeline: 2, models: [gpt2]}
- {id: lone, devices: ["n-1:1"], tensor: 1, pipeline: 1, models: [gpt2]}
"""


def test_stages_on_two_hosts_answer_as_one_group_and_are_lost_together(
    folder: Path, serve: Callable[..., ServedFleet]
):
    # As large as if sending were worth it; the model itself is tiny.
    write_profile(folder / "profile.json", stage_s=0.002, weight_bytes=4 * 10**9)
    (folder / "deployment.yaml").write_text(_DEPLOYMENT)
    (folder / "plan.yaml").write_text(_PLAN)
    fleet = serve(folder)
    ready = fleet.until_ready()
    assert "group wide: loading 1 models on n-0, n-1" in fleet.said
    assert " of gpt2 from group wide in " in fleet.said
    metrics = urllib.request.urlopen(ready["metrics"]).read().decode()
    assert 'statmux_weights_load_seconds{group="lone",model="gpt2",origin="replica"}' in metrics
    request = {"input_ids": np.arange(5, dtype=np.int64)[None]}
    with Client(ready["grpc"]) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.infer("gpt2", request), range(12)))
        assert {answer.group for answer in answers} == {"wide", "lone"}
        for answer in answers:
            np.testing.assert_allclose(
                answer.outputs["logits"], answers[0].outputs["logits"], rtol=0, atol=1e-5
            )
        (follower,) = [pid for pid in fleet.marked_processes() if "FollowerWorker" in title_of(pid)]
        os.kill(follower, signal.SIGKILL)
        fleet.until(lambda: not fleet.group("wide")["is_open"])
        assert {client.infer("gpt2", request).group for _ in range(3)} == {"lone"}
    stopped = fleet.run_verb("stop", "--wait")
    assert stopped.returncode == 0, stopped.stderr
    assert fleet.wait() == 0, fleet.said
    fleet.check_clean_end()


def title_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()
