"""What further front ends must know of the groups, in words: as it changes, and whole for one that starts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import final

from controller.front.words import (
    AddGroup,
    Adopt,
    CloseReplica,
    DropReplica,
    GiveUp,
    GroupWord,
    LoseGroup,
    OpenGroup,
    OpenReplica,
    RemoveGroup,
)
from vocabulary.deployment import Deployment
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Group
from workers.engine import ModelInterface
from workers.link import Link
from workers.spec import Address


@dataclass(slots=True)
class _Known:
    """A group. address: None while it is closed."""

    group: Group
    limits: dict[str, GenerationLimits]
    address: Address | None = None
    interfaces: dict[str, ModelInterface] = field(default_factory=dict)
    taking: set[str] = field(default_factory=set)


@final
class FrontRoster:
    """Implements `controller.life.group_cluster.Roster`: says each change to who listens, keeps the sum."""

    def __init__(
        self, say: Callable[[GroupWord | GiveUp | Adopt], None], *, address_of: Callable[[int], Address]
    ) -> None:
        """address_of: where the worker of a group listens that is opened now."""
        self._say = say
        self._address_of = address_of
        self._groups: dict[int, _Known] = {}

    def words(self) -> Iterator[GroupWord]:
        """All that is there now."""
        for index, known in self._groups.items():
            yield AddGroup(index, known.group, dict(known.limits))
            if known.address is not None:
                yield self._opening(index, known)

    def add_group(self, group_index: int, group: Group, limits: Mapping[str, GenerationLimits]) -> None:
        self._groups[group_index] = _Known(group, dict(limits))
        self._say(AddGroup(group_index, group, limits))

    def open_group(self, group_index: int, link: Link, interfaces: Mapping[str, ModelInterface]) -> None:
        """link: another front end's; each has its own."""
        known = self._groups[group_index]
        known.address, known.interfaces = self._address_of(group_index), dict(interfaces)
        known.taking = set(known.group.models)
        self._say(self._opening(group_index, known))

    def open_replica(
        self, group_index: int, model: str, interface: ModelInterface, limits: GenerationLimits | None
    ) -> None:
        known = self._groups[group_index]
        if model not in known.group.models:
            known.group = replace(known.group, models=(*known.group.models, model))
        known.interfaces[model] = interface
        if limits is not None:
            known.limits[model] = limits
        known.taking.add(model)
        self._say(OpenReplica(group_index, model, interface, limits))

    def close_replica(self, group_index: int, model: str) -> None:
        self._groups[group_index].taking.discard(model)
        self._say(CloseReplica(group_index, model))

    def drop_replica(self, group_index: int, model: str) -> None:
        known = self._groups[group_index]
        left = tuple(name for name in known.group.models if name != model)
        known.group = replace(known.group, models=left)
        known.limits.pop(model, None)
        self._say(DropReplica(group_index, model))

    def give_up(self, models: Collection[str]) -> None:
        self._say(GiveUp(tuple(models)))

    def adopt(self, deployment: Deployment) -> None:
        self._say(Adopt(deployment))

    def lose_group(self, group_index: int, why: str) -> bool:
        known = self._groups[group_index]
        was_open, known.address = known.address is not None, None
        known.taking.clear()
        self._say(LoseGroup(group_index, why))
        return was_open

    def remove_group(self, group_index: int) -> None:
        del self._groups[group_index]
        self._say(RemoveGroup(group_index))

    def _opening(self, index: int, known: _Known) -> OpenGroup:
        assert known.address is not None, known
        closed = tuple(model for model in known.group.models if model not in known.taking)
        return OpenGroup(index, known.address, dict(known.interfaces), closed)
