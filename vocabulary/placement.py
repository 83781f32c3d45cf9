"""A placement: which models sit on which device groups, split how."""

from __future__ import annotations

from dataclasses import dataclass

from vocabulary.parallel import ParallelConfig


@dataclass(frozen=True, slots=True)
class Group:
    """One device mesh with one parallel configuration, shared by all `models` placed on it.

    Stage s holds devices[s * tensor : (s + 1) * tensor].
    """

    id: str
    devices: tuple[str, ...]
    config: ParallelConfig
    models: tuple[str, ...]

    def __post_init__(self) -> None:
        assert len(self.devices) == self.config.num_devices, (self.devices, self.config)
        assert len(set(self.models)) == len(self.models), self.models

    def stage_devices(self, stage: int) -> tuple[str, ...]:
        return self.devices[stage * self.config.tensor : (stage + 1) * self.config.tensor]


@dataclass(frozen=True, slots=True)
class Placement:
    """Groups on disjoint devices, in plan order (ties between groups go to the first)."""

    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        devices = [device for group in self.groups for device in group.devices]
        assert len(set(devices)) == len(devices), "two groups share a device"
        assert len({group.id for group in self.groups}) == len(self.groups), "two groups share an id"

    def holders(self, model: str) -> tuple[int, ...]:
        """Indices of the groups that hold `model`, in plan order."""
        return tuple(index for index, group in enumerate(self.groups) if model in group.models)

    @property
    def num_replicas(self) -> int:
        return sum(len(group.models) for group in self.groups)

    @property
    def models(self) -> frozenset[str]:
        return frozenset(model for group in self.groups for model in group.models)
