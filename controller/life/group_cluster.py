"""What a supervisor needs of whoever runs groups (`RayCluster`), and of front ends (`FleetServer`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from controller.on_ray.nouns import Lost, StartedGroup
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from workers.engine import ModelInterface
from workers.link import Link
from workers.spec import WorkerSpec


class GroupCluster(Protocol):
    """Runs groups. Calls block, and come on any thread, several at once."""

    def start_groups(self, specs: Sequence[WorkerSpec]) -> tuple[StartedGroup, ...]:
        """All or none; raises StatmuxError."""

    def change_group(
        self, spec: WorkerSpec, *, add: Collection[str] = (), remove: Collection[str] = ()
    ) -> StartedGroup:
        """spec: the group with its new models. Raises StatmuxError, and then the group is as it was."""

    def stop_groups(self, group_ids: Collection[str]) -> None:
        """In order; their devices are free afterwards."""

    def kill_group(self, group_id: str) -> None:
        """At once, whatever it does; its devices are free afterwards. Nothing happens if it is gone."""

    def watch(self, lost: Lost) -> None:
        """Call `lost(group_id, why)`, on another thread, for each group that dies, also one started later."""

    def watch_nodes(self, changed: Callable[[frozenset[str]], None]) -> None:
        """Call it, on another thread, with the ids of all devices that are there, whenever these change."""

    def memory(self) -> Mapping[str, object]:
        """What another controller needs to adopt all of it, JSON-able."""


class Roster(Protocol):
    """Which groups there are and what is open (`FleetServer`, and what tells further front ends)."""

    def add_group(self, group_index: int, group: Group, limits: Mapping[str, GenerationLimits]) -> None: ...

    def open_group(self, group_index: int, link: Link, interfaces: Mapping[str, ModelInterface]) -> None: ...

    def open_replica(
        self, group_index: int, model: str, interface: ModelInterface, limits: GenerationLimits | None
    ) -> None: ...

    def close_replica(self, group_index: int, model: str) -> None: ...

    def drop_replica(self, group_index: int, model: str) -> None: ...

    def give_up(self, models: Collection[str]) -> None: ...

    def adopt(self, deployment: Deployment) -> None: ...

    def lose_group(self, group_index: int, why: str) -> bool: ...

    def remove_group(self, group_index: int) -> None: ...
