"""Fleets of any size for benchmarks/scale.py: hosts of eight devices, models by a power law, made up."""

from __future__ import annotations

from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo, Workload
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of

DEVICES_PER_HOST = 8
MODELS_PER_GROUP = 20
GB = 10**9
DEVICE_BYTES = 80 * GB
# As AlpaServe's BERTs on V100s: seconds on one device, and a little more in all on more of them.
KINDS_S = (0.02, 0.04, 0.08)
WEIGHT_BYTES = (2_600_000_000, 5_200_000_000, 13_400_000_000)
CONFIGS = tuple(ParallelConfig(1, stages) for stages in (1, 2, 4, 8))


def fleet_of(num_hosts: int, num_models: int, *, rate_rps: float, router: str = "power_of_two") -> Deployment:
    """The first models are the popular ones, by a power law of exponent 0.5."""
    weights = [(index + 1) ** -0.5 for index in range(num_models)]
    models = tuple(
        ModelSpec(
            f"m{index}",
            profile=_profile(f"m{index}", index % len(KINDS_S)),
            slo=Slo(5 * KINDS_S[index % len(KINDS_S)]),
            workload=Workload(rate_rps * weight / sum(weights), 4.0),
        )
        for index, weight in enumerate(weights)
    )
    node = NodeClass("h", num_hosts, "gpu", DEVICES_PER_HOST, DEVICE_BYTES)
    return Deployment("scale", Cluster((node,)), models, policy=Policy(router=router))


def placement_of(deployment: Deployment) -> Placement:
    """One group of eight stages on each host, its models dealt in turn: every model on as many groups."""
    names, config = deployment.model_names, CONFIGS[-1]
    devices = [device.id for device in deployment.cluster.devices]
    groups = []
    for host in range(len(devices) // DEVICES_PER_HOST):
        first = host * MODELS_PER_GROUP
        models = tuple(dict.fromkeys(names[(first + k) % len(names)] for k in range(MODELS_PER_GROUP)))
        own = tuple(devices[host * DEVICES_PER_HOST : (host + 1) * DEVICES_PER_HOST])
        groups.append(Group(f"g{host}", own, config, models))
    return Placement(tuple(groups))


def _profile(name: str, kind: int) -> Profile:
    seconds, weight_bytes = KINDS_S[kind], WEIGHT_BYTES[kind]
    entries = [
        ProfileEntry(
            config,
            (weight_bytes // config.pipeline,) * config.pipeline,
            {},
            {1: (seconds * (1 + 0.01 * config.pipeline) / config.pipeline,) * config.pipeline},
        )
        for config in CONFIGS
    ]
    return profile_of(name, "gpu", entries, provenance=Provenance("imported"))
