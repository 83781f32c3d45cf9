"""The published AlpaServe outcomes where they are at hand: fleets, plans, traces, what became of requests.

Read here with yaml and json alone, so that a fault in our own readers cannot hide one in the simulator.
"""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "alpaserve"
OUTCOMES = sorted(FOLDER.glob("w*/outcomes.*.test.csv.gz"))
needs_published = pytest.mark.skipif(not OUTCOMES, reason=f"no published outcomes in {FOLDER}")


@dataclass(frozen=True)
class Published:
    """`finish_s` means something where `good` only."""

    deployment: Deployment
    placement: Placement
    trace: Trace
    good: NDArray[np.bool_]
    finish_s: NDArray[np.float64]


def load(outcomes: Path) -> Published:
    folder, algorithm = outcomes.parent, outcomes.name.split(".")[1]
    deployment = _deployment(folder / "deployment.yaml")
    rows = _rows(outcomes)
    return Published(
        deployment,
        _placement(folder / f"plan.{algorithm}.yaml"),
        _trace(folder / "test.csv.gz", deployment.model_names),
        good=np.array([row["good"] == "1" for row in rows]),
        finish_s=np.array([float(row["finish_s"]) for row in rows]),
    )


@cache
def _deployment(path: Path) -> Deployment:
    document = yaml.load(path.read_text(), yaml.CSafeLoader)
    models = tuple(
        ModelSpec(
            model["name"],
            profile=_profile((path.parent / model["profile"]).resolve()),
            slo=Slo(model["slo"]["latency_ms"] / 1000),
        )
        for model in document["models"]
    )
    nodes = tuple(
        NodeClass(
            node["name"], node["count"], node["devices"]["type"], node["devices"]["count"], memory_bytes=1
        )
        for node in document["cluster"]["nodes"]
    )
    return Deployment(
        path.parent.name,
        Cluster(nodes),
        models,
        policy=Policy(router="min_stage_clock"),
        latency=LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011),
    )


@cache
def _profile(path: Path) -> Profile:
    document = json.loads(path.read_text())
    entries = [
        ProfileEntry(
            ParallelConfig(entry["tensor"], entry["pipeline"]),
            tuple(entry["weight_bytes"]),
            {},
            {int(size): tuple(stages) for size, stages in entry["stage_latency_s"].items()},
        )
        for entry in document["entries"]
    ]
    return profile_of(document["model"], document["device_type"], entries, provenance=Provenance())


def _placement(path: Path) -> Placement:
    document = yaml.load(path.read_text(), yaml.CSafeLoader)
    return Placement(
        tuple(
            Group(
                group["id"],
                tuple(group["devices"]),
                ParallelConfig(group["tensor"], group["pipeline"]),
                tuple(group["models"]),
            )
            for group in document["groups"]
        )
    )


def _trace(path: Path, models: tuple[str, ...]) -> Trace:
    rows = _rows(path)
    index = [models.index(row["model"]) for row in rows]
    arrival_s = np.array([float(row["timestamp_s"]) for row in rows])
    return Trace(arrival_s, np.array(index, dtype=np.int32), models)


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") as file:
        return list(csv.DictReader(file))
