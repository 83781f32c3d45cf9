"""How many pages of keys and values each generating model of a group may hold."""

from __future__ import annotations

from collections.abc import Mapping

from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.fit import activation_batch_size, stage_bytes
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from vocabulary.units import format_bytes


def generation_limits(group: Group, deployment: Deployment) -> Mapping[str, GenerationLimits]:
    """Of the models of `group` that generate, by name.

    Memory is what the tightest device of a stage has for models, less all weights (and activations where
    these count). Caches of a told number of pages are taken off first; of the rest a model has its
    memory_fraction, and those without one share what remains equally. The stage with room for the fewest
    tokens decides.

    Raises Infeasible when a cache does not fit or has no page, InvalidInput when fractions exceed 1 or the
    profile does not say what a token takes.
    """
    models = [model for name in group.models if (model := deployment.model(name)).generates]
    if not models:
        return {}
    for model in models:
        if model.generation.num_pages is None and not any(_token_bytes(model, group)):
            raise InvalidInput(
                f"model {model.name} has no kv_bytes_per_token for {group.config} in its profile",
                hint="add it, or set kv_cache.num_pages of the model",
            )
    left = _left_bytes(group, models, deployment)
    fractions = _fractions(group, models)
    return {
        model.name: model.generation.limits(_num_pages(model, group, left, fractions)) for model in models
    }


def _left_bytes(group: Group, models: list[ModelSpec], deployment: Deployment) -> list[int]:
    """Bytes on a device of each stage for caches of no told size [pipeline]."""
    devices = deployment.cluster.by_id()
    batch_size = activation_batch_size(deployment)
    taken = stage_bytes(
        group.config, group.models, catalog=deployment.catalog(), activation_batch_size=batch_size
    )
    left: list[int] = []
    for stage, num_bytes in enumerate(taken):
        usable = min(deployment.cluster.usable_bytes(devices[one]) for one in group.stage_devices(stage))
        told = sum(_told_bytes(model, group, stage) for model in models)
        if told > usable - num_bytes:
            raise Infeasible(
                f"group {group.id}: key-value caches of stage {stage} take {format_bytes(told)} a device, "
                f"and weights leave {format_bytes(max(0, usable - num_bytes))}",
                hint="lower kv_cache.num_pages, or place fewer models there",
            )
        left.append(usable - num_bytes - told)
    return left


def _told_bytes(model: ModelSpec, group: Group, stage: int) -> int:
    settings = model.generation
    return (settings.num_pages or 0) * settings.page_tokens * _token_bytes(model, group)[stage]


def _token_bytes(model: ModelSpec, group: Group) -> tuple[int, ...]:
    assert model.profile is not None
    known = model.profile.entry(group.config).kv_bytes_per_token
    return known or (0,) * group.config.pipeline


def _fractions(group: Group, models: list[ModelSpec]) -> Mapping[str, float]:
    """The part of what is left that each model without a told number of pages has."""
    asking = [model for model in models if model.generation.num_pages is None]
    told = {m.name: m.generation.memory_fraction for m in asking if m.generation.memory_fraction is not None}
    rest = 1.0 - sum(told.values())
    others = [model.name for model in asking if model.name not in told]
    if rest < -1e-9 or (others and rest <= 0):
        raise InvalidInput(
            f"group {group.id}: kv_cache.memory_fraction of {', '.join(told)} add up to {1.0 - rest:g}",
            hint="fractions are of what weights leave on the group; keep the sum of its models below 1",
        )
    return {**told, **{name: rest / len(others) for name in others}}


def _num_pages(model: ModelSpec, group: Group, left: list[int], fractions: Mapping[str, float]) -> int:
    settings = model.generation
    if settings.num_pages is not None:
        return settings.num_pages
    fraction = fractions[model.name]
    num_pages = min(
        int(fraction * num_bytes) // (token_bytes * settings.page_tokens)
        for num_bytes, token_bytes in zip(left, _token_bytes(model, group), strict=True)
        if token_bytes
    )
    if num_pages < 1:
        raise Infeasible(
            f"group {group.id} has no memory left for keys and values of {model.name}: weights leave "
            f"{format_bytes(min(left))} a device",
            hint="place fewer models there, raise tensor or pipeline, or raise kv_cache.memory_fraction",
        )
    return num_pages
