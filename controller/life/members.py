"""The groups of a fleet as its supervisor knows them: by id, with their index, state, link and last beat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import final

from controller.on_ray.nouns import StartedGroup
from vocabulary.placement import Group, Placement
from workers.link import Link


class GroupState(StrEnum):
    """starting: for the first time, or again after a loss; closing: it drains, and is stopped then."""

    STARTING = "starting"
    OPEN = "open"
    CLOSING = "closing"
    LOST = "lost"
    GIVEN_UP = "given up"


@dataclass(slots=True)
class Member:
    """One group. group: with the models that are resident.

    is_known: front ends have its index. is_begun: it was asked to start. models_open: those that take
    requests. heard_s: when it last said something, on the supervisor's clock; num_beats: since its last
    start. life: which start of it that was, so that news of an earlier one are told apart. why: of its last
    loss.
    """

    group: Group
    index: int
    is_known: bool = False
    is_begun: bool = False
    state: GroupState = GroupState.STARTING
    started: StartedGroup | None = None
    link: Link | None = None
    models_open: set[str] = field(default_factory=set)
    heard_s: float = 0.0
    num_beats: int = 0
    life: int = 0
    num_restarts: int = 0
    why: str = ""

    @property
    def is_running(self) -> bool:
        return self.link is not None


@final
class Members:
    """By id. An index is never given twice; a group that starts again, unchanged, keeps the one it had."""

    def __init__(self, placement: Placement) -> None:
        """placement: what front ends know from the start, closed."""
        self._members = {
            group.id: Member(group, index, is_known=True) for index, group in enumerate(placement.groups)
        }
        self._next_index = len(self._members)

    def __iter__(self) -> Iterator[Member]:
        return iter(tuple(self._members.values()))

    def of(self, group_id: str) -> Member | None:
        return self._members.get(group_id)

    def add(self, group: Group) -> Member:
        """In place of the one that had the id, whose restarts count on."""
        old = self._members.pop(group.id, None)
        member = Member(group, self._next_index)
        self._next_index += 1
        if old is not None:
            member.num_restarts = old.num_restarts
        self._members[group.id] = member
        return member

    def remove(self, member: Member) -> None:
        """Unless another has its id by now."""
        if self._members.get(member.group.id) is member:
            del self._members[member.group.id]

    def running(self) -> tuple[Member, ...]:
        return tuple(member for member in self if member.is_running)


def is_same(one: Group, other: Group) -> bool:
    """Whether a process that runs the one can run the other: models may come and go, the mesh does not."""
    return (one.id, one.devices, one.config) == (other.id, other.devices, other.config)
