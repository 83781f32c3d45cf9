"""Random instances small enough for every placement and every order to be looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

BATCH_SIZES = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Instance:
    deployment: Deployment
    trace: Trace


def instance(seed: int, *, is_batched: bool = False) -> Instance:
    """One to three models of one or two kinds, two or three devices, a handful of requests at once."""
    rng = np.random.default_rng(seed)
    num_devices = int(rng.integers(2, 4))
    kinds = [_profile(rng, num_devices, is_batched=is_batched) for _ in range(rng.integers(1, 3))]
    num_models = int(rng.integers(1, 4 if num_devices == 2 else 3))
    latency = LatencyModel(*((0.009, 0.011) if rng.random() < 0.5 else (0.0, 0.0)))
    slo_s = float(rng.uniform(0.8, 1.5))
    models = tuple(
        ModelSpec(
            f"m{number}", profile=kinds[number % len(kinds)], slo=Slo(slo_s * float(rng.choice([1, 1.4])))
        )
        for number in range(num_models)
    )
    policy = Policy(batching="deadline" if is_batched else "none", max_batch_size=3)
    deployment = Deployment(
        "tiny",
        Cluster((NodeClass("n", 1, "cpu", num_devices, int(rng.integers(70, 200))),)),
        models,
        policy=policy,
        latency=latency,
    )
    num_requests = int(rng.integers(4, 7))
    begins_s = rng.choice([0.0, rng.uniform(0, 1.0)], size=num_requests)
    arrival_s = np.sort(begins_s + rng.uniform(0, 0.5, num_requests))
    index = rng.integers(0, num_models, num_requests).astype(np.int32)
    return Instance(deployment, Trace(arrival_s, index, deployment.model_names))


def _profile(rng: np.random.Generator, num_devices: int, *, is_batched: bool) -> Profile:
    """Uneven stages; tensor parallelism saves less time than devices; batches cost less than members."""
    single_s, num_bytes = float(rng.uniform(0.6, 1.1)), int(rng.integers(60, 140))
    configs = [(1, 1), (1, 2), (2, 1), (1, 3)]
    entries = []
    for tensor, pipeline in configs:
        if tensor * pipeline > num_devices:
            continue
        shares = rng.dirichlet(np.full(pipeline, 8.0))
        held = rng.dirichlet(np.full(pipeline, 12.0)) * num_bytes / tensor
        speed = 1 / tensor**0.7 * (1.05 if pipeline > 1 else 1.0)
        sizes = BATCH_SIZES if is_batched else (1,)
        latency_s = {
            size: tuple(float(share * single_s * speed * size**0.6) for share in shares) for size in sizes
        }
        weight_bytes = tuple(int(one) for one in held)
        entries.append(
            ProfileEntry(ParallelConfig(tensor, pipeline), weight_bytes, {1: (0,) * pipeline}, latency_s)
        )
    return profile_of("any", "cpu", entries, provenance=Provenance())
