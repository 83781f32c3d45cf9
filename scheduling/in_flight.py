"""Requests that a group has: what becomes of each when the group is lost."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import msgspec

from scheduling.dispatch import AbstractCandidate
from vocabulary.request import Fate, Request


class Taken(msgspec.Struct, gc=False):
    """A request, and where it went. lost_by: if it was given again, the group that was lost with it."""

    request: Request
    candidate: AbstractCandidate
    lost_by: int | None = None
    is_replied: bool = False
    has_begun: bool = False

    @property
    def fate_when_lost(self) -> Fate | None:
        """What it is answered when its group is lost; None: it is given to another, once."""
        if self.has_begun:
            return Fate.LOST
        return None if self.lost_by is None else Fate.UNAVAILABLE


@final
class InFlight:
    """Requests that were forwarded and have not been settled, by id."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        self.taken: dict[int, Taken] = {}

    def begin(self, request_ids: Collection[int]) -> None:
        """Their groups work on these."""
        for request_id in request_ids:
            if (one := self.taken.get(request_id)) is not None:
                one.has_begun = True

    def pop_of(self, group_indices: Collection[int]) -> list[Taken]:
        """Remove what these groups had; by arrival, then id."""
        found = [one for one in self.taken.values() if one.candidate.group.index in group_indices]
        found.sort(key=lambda one: (one.request.arrival_s, one.request.id))
        for one in found:
            del self.taken[one.request.id]
        return found

    def num_of(self, group_index: int, model: str) -> int:
        """How many requests of the model the group has; looks at all in flight."""
        return sum(
            one.request.model == model and one.candidate.group.index == group_index
            for one in self.taken.values()
        )
