"""Small fleets, placements and traces from a seed, for differential tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Fleet:
    deployment: Deployment
    placement: Placement
    trace: Trace


def random_fleet(
    seed: int,
    *,
    policy: Policy,
    latency: LatencyModel | None = None,
    tick_s: float | None = None,
    num_requests: int = 300,
) -> Fleet:
    """3 models on up to 4 groups of up to 3 stages, one model perhaps nowhere; often overloaded.

    With `tick_s` (a power of two) all times are multiples of it, so that very many events tie.
    """
    rng = np.random.default_rng(seed)
    configs = [ParallelConfig(1, int(rng.integers(1, 4))) for _ in range(int(rng.integers(1, 5)))]
    names = tuple(f"m{index}" for index in range(3))
    models = tuple(_model(name, configs, rng, tick_s) for name in names)
    nodes = (NodeClass("n", 1, "cpu", sum(config.num_devices for config in configs), 2**30),)
    deployment = Deployment(
        "random", Cluster(nodes), models, policy=policy, latency=latency or LatencyModel()
    )
    arrival_s = np.sort(_times(rng.gamma(0.3, 0.8, num_requests).cumsum(), tick_s))
    trace = Trace(arrival_s, rng.integers(0, 3, num_requests).astype(np.int32), names)
    return Fleet(deployment, _placement(configs, names, rng, deployment), trace)


def _model(
    name: str, configs: list[ParallelConfig], rng: np.random.Generator, tick_s: float | None
) -> ModelSpec:
    entries = [
        ProfileEntry(
            config,
            weight_bytes=(1,) * config.pipeline,
            activation_bytes={},
            stage_latency_s={1: tuple(_times(rng.uniform(0.1, 0.9, config.pipeline), tick_s).tolist())},
        )
        for config in dict.fromkeys(configs)
    ]
    slo = Slo(float(_times(rng.uniform(0.5, 4.0, 1), tick_s)[0])) if rng.random() < 0.9 else Slo()
    return ModelSpec(name, profile=profile_of(name, "cpu", entries, provenance=Provenance()), slo=slo)


def _placement(
    configs: list[ParallelConfig], names: tuple[str, ...], rng: np.random.Generator, deployment: Deployment
) -> Placement:
    devices = iter(device.id for device in deployment.cluster.devices)
    return Placement(
        tuple(
            Group(
                f"g{index}",
                tuple(next(devices) for _ in range(config.num_devices)),
                config,
                tuple(str(name) for name in rng.permutation(names)[: int(rng.integers(0, 4))]),
            )
            for index, config in enumerate(configs)
        )
    )


def _times(seconds: np.ndarray, tick_s: float | None) -> np.ndarray:
    return seconds if tick_s is None else np.maximum(1, np.round(seconds / tick_s)) * tick_s
