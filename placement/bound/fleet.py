"""What every configuration could do at best: least seconds and bytes of models, most groups of devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.memory import allows
from vocabulary.catalog import BatchCosts, Catalog
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.mesh import Cluster, Device
from vocabulary.parallel import ParallelConfig
from vocabulary.units import TIME_TOLERANCE_S


@dataclass(frozen=True, slots=True)
class Choice:
    """A configuration that groups may have, and the models that can be in time on it.

    models: indices, ascending [kept]; weight_bytes: a device, [kept, stages]; work_s: least seconds of one
    request on each stage [kept, stages]; fill_s: least seconds that a request is in each stage, which batches
    make longer than its share of the work [kept, stages]; latest_s: from an arrival to when its last stage
    has to have ended [kept], infinite without an SLO. A model whose requests last for an unknown time has
    zeros and an infinite latest_s.
    """

    config: ParallelConfig
    devices: tuple[Device, ...]
    usable_bytes: int
    max_groups: int
    models: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    work_s: NDArray[np.float64]
    fill_s: NDArray[np.float64]
    latest_s: NDArray[np.float64]


def choices_of(deployment: Deployment, *, generating: Sequence[bool]) -> tuple[Choice, ...]:
    """Every configuration of any profile that devices are there for and some model can be in time on.

    generating: whether a model's requests ask for tokens [models], so that their seconds are not known.
    """
    catalog = deployment.catalog()
    profiles = [model.profile for model in deployment.models if model.profile is not None]
    configs = sorted({config for profile in profiles for config in profile.entries})
    found = (_choice(deployment, config, catalog=catalog, generating=generating) for config in configs)
    return tuple(choice for choice in found if choice is not None)


def _choice(
    deployment: Deployment, config: ParallelConfig, *, catalog: Catalog, generating: Sequence[bool]
) -> Choice | None:
    cluster = deployment.cluster
    devices = _devices_of(cluster, config)
    max_groups = _most_groups(devices, config)
    if not max_groups:
        return None
    usable_bytes = max(map(cluster.usable_bytes, devices))
    rows = list(
        _models_in_time(deployment, config, catalog=catalog, generating=generating, usable_bytes=usable_bytes)
    )
    if not rows:
        return None
    return Choice(
        config,
        devices,
        usable_bytes,
        max_groups,
        models=np.array([row.model for row in rows], dtype=np.int64),
        weight_bytes=np.array([row.weight_bytes for row in rows], dtype=np.int64),
        work_s=np.array([row.work_s for row in rows]),
        fill_s=np.array([row.fill_s for row in rows]),
        latest_s=np.array([row.latest_s for row in rows]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    model: int
    weight_bytes: tuple[int, ...]
    work_s: NDArray[np.float64]
    fill_s: NDArray[np.float64]
    latest_s: float


def _models_in_time(
    deployment: Deployment,
    config: ParallelConfig,
    *,
    catalog: Catalog,
    generating: Sequence[bool],
    usable_bytes: int,
) -> Iterator[_Row]:
    """Models that fit alone and whose request alone would be in time."""
    crosses_hosts = config.num_devices > max(node.devices_per_host for node in deployment.cluster.nodes)
    is_batched = deployment.policy.batching != "none"
    for index, model in enumerate(deployment.models):
        if not allows(model, config, crosses_hosts=crosses_hosts):
            continue
        weight_bytes = catalog.entry(model.name, config).weight_bytes
        if max(weight_bytes) > usable_bytes:
            continue
        if generating[index]:
            nothing_s = np.zeros(config.pipeline)
            yield _Row(index, weight_bytes, nothing_s, nothing_s, np.inf)
            continue
        work_s, fill_s = _least_s(catalog.costs(model.name, config), is_batched=is_batched)
        latest_s = _latest_s(model, catalog)
        if fill_s.sum() <= latest_s:
            yield _Row(index, weight_bytes, work_s, fill_s, latest_s)


def _least_s(costs: BatchCosts, *, is_batched: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Work and time in each stage of one request [stages].

    In a batch of b that costs t(b), each of at most b members takes t(b) / b or more of the stage, so the
    least of these over the profiled sizes is work that nobody gets around; a padded batch has fewer members.
    """
    if not is_batched:
        single = np.array(costs.single)
        return single, single
    stages_s = np.array(costs.stages_s)
    return (stages_s / np.array(costs.sizes)[:, None]).min(axis=0), stages_s.min(axis=0)


def _latest_s(model: ModelSpec, catalog: Catalog) -> float:
    """From the arrival to the end of the last stage of a request that is still in time."""
    return model.slo_s(catalog.latency) + TIME_TOLERANCE_S - catalog.latency.fixed_overhead_s


def _devices_of(cluster: Cluster, config: ParallelConfig) -> tuple[Device, ...]:
    """Devices that a group of this configuration may have: all, unless the configuration is of one type."""
    free = cluster.free_devices
    return tuple(device for device in free if config.device_type in ("", device.device_type))


def _most_groups(devices: Sequence[Device], config: ParallelConfig) -> int:
    """Tensor parallelism stays inside hosts; stages may be anywhere."""
    by_host: dict[str, int] = {}
    for device in devices:
        by_host[device.host] = by_host.get(device.host, 0) + 1
    return sum(num_devices // config.tensor for num_devices in by_host.values()) // config.pipeline
