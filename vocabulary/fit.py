"""Whether a placement fits into the memory of its devices."""

from __future__ import annotations

from collections.abc import Iterable

from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.units import format_bytes


def stage_bytes(
    config: ParallelConfig,
    models: Iterable[str],
    *,
    catalog: Catalog,
    activation_batch_size: int | None = None,
) -> tuple[int, ...]:
    """Bytes that `models` take on each device of every stage [pipeline].

    Weights add up. A stage runs one batch at a time, so of the activations the largest counts; they count
    only when `activation_batch_size` is given. Raises KeyError for a model without that configuration.
    """
    weights = [0] * config.pipeline
    activations = [0] * config.pipeline
    for model in models:
        entry = catalog.entry(model, config)
        weights = [total + size for total, size in zip(weights, entry.weight_bytes, strict=True)]
        if activation_batch_size is not None:
            # A batch between two profiled sizes runs padded to the larger.
            sizes = [size for size in sorted(entry.activation_bytes) if size >= activation_batch_size]
            size = sizes[0] if sizes else max(entry.activation_bytes, default=0)
            stages = entry.activation_bytes.get(size, (0,) * config.pipeline)
            activations = [max(most, one) for most, one in zip(activations, stages, strict=True)]
    return tuple(weight + activation for weight, activation in zip(weights, activations, strict=True))


def activation_batch_size(deployment: Deployment) -> int | None:
    """The batch whose activations count against memory; None when activations do not count."""
    if not deployment.count_activations:
        return None
    return 1 if deployment.policy.batching == "none" else deployment.policy.max_batch_size


def check_fit(placement: Placement, deployment: Deployment) -> None:
    """Raises Infeasible for the first stage and device that models overflow, with bytes needed and available.

    Raises InvalidInput for a model that has no profile, or none of the group's configuration.
    """
    catalog = deployment.catalog()
    devices = deployment.cluster.by_id()
    batch_size = activation_batch_size(deployment)
    for group in placement.groups:
        _check_profiled(group, catalog)
        needed = stage_bytes(group.config, group.models, catalog=catalog, activation_batch_size=batch_size)
        for stage, num_bytes in enumerate(needed):
            for device_id in group.stage_devices(stage):
                available = deployment.cluster.usable_bytes(devices[device_id])
                if num_bytes > available:
                    raise _overflow(group, stage, device_id, num_bytes, available, deployment)


def _check_profiled(group: Group, catalog: Catalog) -> None:
    for model in group.models:
        if model not in catalog.profiles:
            hint = f"measure it with `statmux profile`, then set `profile:` of {model}"
            raise InvalidInput(f"group {group.id}: model {model} has no profile", hint=hint)
        if not catalog.supports(model, group.config):
            known = ", ".join(str(config) for config in sorted(catalog.profiles[model].entries))
            raise InvalidInput(
                f"group {group.id}: the profile of {model} has no {group.config}", hint=f"it has {known}"
            )


def _overflow(
    group: Group, stage: int, device_id: str, needed: int, available: int, deployment: Deployment
) -> Infeasible:
    catalog = deployment.catalog()
    largest = max(group.models, key=lambda model: catalog.entry(model, group.config).weight_bytes[stage])
    reserve = deployment.cluster.reserve
    kept = f" after {reserve:.0%} in reserve" if reserve else ""
    return Infeasible(
        f"group {group.id} does not fit: stage {stage} needs {needed} bytes ({format_bytes(needed)}) on "
        f"device {device_id}, which has {available} ({format_bytes(available)}){kept}; device memory binds",
        hint=f"take a model off {group.id} (the largest is {largest}), or raise its tensor or pipeline",
    )
