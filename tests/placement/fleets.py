"""Deployments small enough to check by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vocabulary.deployment import Deployment, ModelSpec, Parallelism, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

LATENCY_S = 0.2


def profile(weight_bytes: int, *configs: tuple[int, int], latency_s: float = LATENCY_S) -> Profile:
    """Weights and time are split evenly; devices that share operators are as quick as one alone is slow."""
    entries = [
        ProfileEntry(
            ParallelConfig(tensor, pipeline),
            (weight_bytes // (tensor * pipeline),) * pipeline,
            {1: (0,) * pipeline},
            {1: (latency_s / (tensor * pipeline),) * pipeline},
        )
        for tensor, pipeline in configs
    ]
    return profile_of("any", "cpu", entries, provenance=Provenance())


def model(name: str, weight_bytes: int, *configs: tuple[int, int], **settings: object) -> ModelSpec:
    found = profile(weight_bytes, *(configs or ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2))))
    return ModelSpec(name, profile=found, **{"slo": Slo(5 * LATENCY_S), **settings})


def deployment(
    *models: ModelSpec,
    num_hosts: int = 1,
    num_devices: int = 4,
    memory_bytes: int = 100,
    reserve: float = 0.0,
) -> Deployment:
    nodes = (NodeClass("n", num_hosts, "cpu", num_devices, memory_bytes),)
    return Deployment("small", Cluster(nodes, reserve), models)


def requests(rates_rps: Mapping[str, float], *, duration_s: float = 60.0, seed: int = 0) -> Trace:
    """Poisson arrivals."""
    rng = np.random.default_rng(seed)
    columns = [rng.uniform(0, duration_s, int(rate * duration_s)) for rate in rates_rps.values()]
    arrival_s = np.concatenate(columns)
    order = np.argsort(arrival_s)
    index = np.repeat(np.arange(len(columns), dtype=np.int32), [len(column) for column in columns])
    return Trace(arrival_s[order], index[order], tuple(rates_rps))


ONE_DEVICE_ONLY = Parallelism(tensor=(1,), pipeline=(1,))
