"""A fleet that serves a user's own function, shared by two devices as `placement.intra` plans it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from statmux.client import Client
from tests.live.fleet_files import write_profile
from tests.live.fleet_process import ServedFleet

pytestmark = pytest.mark.cluster

MODULE = """\
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
DEPLOYMENT = """\
api_version: v1alpha1
kind: Deployment
metadata: {name: own}
cluster:
  nodes:
  - {name: n, devices: {type: cpu, count: 2, memory: 1GiB}}
security: {allow_python_models: true}
models:
- {name: scores, source: "python://scoring:build", profile: scores.json, batch_sizes: [1, 4]}
"""
PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0", "n-0:1"], tensor: 2, pipeline: 1, models: [scores]}
"""


def test_a_function_of_ones_own_is_served(folder: Path, serve: Callable[..., ServedFleet]) -> None:
    for name, text in (("scoring.py", MODULE), ("deployment.yaml", DEPLOYMENT), ("plan.yaml", PLAN)):
        (folder / name).write_text(text)
    write_profile(folder / "scores.json", stage_s=0.002)
    fleet = serve(folder)
    address = fleet.until_ready()["grpc"]
    draw = np.random.default_rng(0)
    up, down = draw.standard_normal((32, 64)), draw.standard_normal((64, 8))
    features = draw.standard_normal((3, 32)).astype(np.float32)
    with Client(address) as client:
        answer = client.infer("scores", {"features": features})
    expected = np.maximum(features @ up, 0) @ down
    np.testing.assert_allclose(answer.outputs["scores"], expected, rtol=1e-4, atol=1e-4)
    stopped = fleet.run_verb("stop", "--wait")
    assert stopped.returncode == 0, stopped.stderr
    assert fleet.wait() == 0, fleet.said
    fleet.check_clean_end()
