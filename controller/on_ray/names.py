"""What a fleet's detached actors and placement groups are called in Ray. Pure."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupName:
    """One life of a group. incarnation: another one each time that it is started."""

    group_id: str
    incarnation: str

    def __str__(self) -> str:
        return f"{self.group_id}/{self.incarnation}"

    def actor(self, place: int) -> str:
        """Of its process at `place`; the leader's is 0."""
        return f"{self}/{place}"


def namespace_of(fleet: str, fleet_key: str) -> str:
    """Of this very fleet: another one of the same name, on the same Ray, has another key."""
    return f"statmux-{fleet}-{hashlib.sha256(fleet_key.encode()).hexdigest()[:8]}"


def groups_among(actors: Iterable[str]) -> Mapping[GroupName, int]:
    """The lives of groups that these names of actors are of, and how many processes each has; without
    those whose leader is missing, or a follower before the last."""
    places: dict[GroupName, set[int]] = defaultdict(set)
    for actor in actors:
        name, _, place = actor.rpartition("/")
        group_id, _, incarnation = name.rpartition("/")
        if group_id and incarnation and place.isdecimal():
            places[GroupName(group_id, incarnation)].add(int(place))
    return {name: len(each) for name, each in places.items() if each == set(range(len(each)))}
