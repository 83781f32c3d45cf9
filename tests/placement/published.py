"""The published AlpaServe workloads, where they lie beside the repository."""

from __future__ import annotations

import csv
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vocabulary.deployment import Deployment
from vocabulary.formats.disk import load_deployment, load_plan, load_trace
from vocabulary.placement import Placement
from vocabulary.trace import Trace

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "alpaserve"
NAMES = ("w1-8gpu-8x2.6b", "w2-16gpu-48x1.3b", "w3-16gpu-24x2.6b", "w5-24gpu-42-bert")
ARTIFACT = (
    "serving.policy.router=min_stage_clock",
    "simulation.stage_scale_per_stage=0.009",
    "simulation.fixed_overhead_s=0.011",
)
needed = pytest.mark.skipif(not FOLDER.exists(), reason=f"no published workloads at {FOLDER}")


@cache
def deployment(name: str, *, is_artifact: bool = True) -> Deployment:
    """With the artifact's router and latency model, or as the file says."""
    return load_deployment(FOLDER / name / "deployment.yaml", overrides=ARTIFACT if is_artifact else ())


@cache
def trace(name: str, which: str) -> Trace:
    return load_trace(FOLDER / name / f"{which}.csv.gz", models=deployment(name).model_names)


def figures(name: str) -> dict[str, Any]:
    """What the artifact reached and how long it took, by algorithm."""
    return json.loads((FOLDER / name / "peer.json").read_text())


def placement(name: str, algorithm: str) -> Placement:
    path = FOLDER / name / f"plan.{algorithm}.yaml"
    return load_plan(path, deployment=deployment(name)).placement


def outcomes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Whether each test request was good, and when it finished (where it was)."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    good = np.array([row["good"] == "1" for row in rows])
    return good, np.array([float(row["finish_s"] or "nan") for row in rows])
