"""What models take of the memory of a group's devices, and whether more fit next to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol, final

from vocabulary.deployment import Deployment
from vocabulary.errors import StatmuxError
from vocabulary.fit import activation_batch_size, stage_bytes
from vocabulary.page_budget import generation_limits
from vocabulary.placement import Group

# Bytes on each device of every stage [pipeline].
StageBytes = tuple[int, ...]


class Memory(Protocol):
    """A pure function of a group: nothing is measured here."""

    def taken(self, group: Group) -> Mapping[str, StageBytes] | None:
        """By model, were the group started with its models: weights and page pools. None: it cannot be."""
        ...

    def usable(self, group: Group) -> StageBytes:
        """What models may take on the tightest device of each stage."""
        ...


@final
class EndlessMemory:
    """Everything fits everywhere."""

    def taken(self, group: Group) -> Mapping[str, StageBytes]:
        return {model: (0,) * group.config.pipeline for model in group.models}

    def usable(self, group: Group) -> StageBytes:
        return (0,) * group.config.pipeline


@final
class DeploymentMemory:
    """As profiles and page budgets of the deployment say. Activations, where they count, do for each model.

    A pool without a told size fills what is left when its model is loaded: nothing fits next to it later.
    """

    def __init__(self, deployment: Callable[[], Deployment]) -> None:
        """deployment: the one that is served now."""
        self._deployment = deployment

    def taken(self, group: Group) -> Mapping[str, StageBytes] | None:
        deployment = self._deployment()
        catalog, batch_size = deployment.catalog(), activation_batch_size(deployment)
        try:
            limits = generation_limits(group, deployment)
            taken: dict[str, StageBytes] = {}
            for model in group.models:
                weights = stage_bytes(
                    group.config, [model], catalog=catalog, activation_batch_size=batch_size
                )
                pages = (0,) * group.config.pipeline
                if model in limits:
                    num_tokens = limits[model].num_pages * limits[model].page_tokens
                    tokens = catalog.entry(model, group.config).kv_bytes_per_token or pages
                    pages = tuple(num_tokens * num_bytes for num_bytes in tokens)
                taken[model] = tuple(map(sum, zip(weights, pages, strict=True)))
        except (StatmuxError, KeyError):  # it has no profile for this, or no room for its pages
            return None
        return taken

    def usable(self, group: Group) -> StageBytes:
        cluster = self._deployment().cluster
        devices = cluster.by_id()
        return tuple(
            min(
                cluster.usable_bytes(devices[one]) if one in devices else 0
                for one in group.stage_devices(stage)
            )
            for stage in range(group.config.pipeline)
        )


def room_for(
    models: Iterable[str], group: Group, there: Mapping[str, StageBytes], memory: Memory
) -> Mapping[str, StageBytes]:
    """Those of `models`, in order, that fit on the group next to what is there, with what each takes.

    there: of every model that is resident, what it took when it was loaded.
    """
    fitting: dict[str, StageBytes] = {}
    usable: StageBytes = ()
    for model in models:
        usable = usable or memory.usable(group)
        together = replace(group, models=(*there, *fitting, model))
        taken = memory.taken(together)
        if taken is None:
            continue
        stages = zip(usable, taken[model], *there.values(), *fitting.values(), strict=True)
        if all(sum(parts) <= limit for limit, *parts in stages):
            fitting[model] = taken[model]
    return fitting
