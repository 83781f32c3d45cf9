"""Closed replicas, until nothing of their models runs or waits on their groups any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from controller.life.members import Member
from workers.frames import Beat

# The first beat after closing may have been written before what was sent last was read.
_NUM_BEATS = 2


@final
class IdleReplicas:
    """Calls `idle(group_id, model)` once for each, when beats say so. How long that may take is not its
    matter."""

    def __init__(self, idle: Callable[[str, str], None]) -> None:
        self._idle = idle
        # From which beat of the group on its word counts.
        self._closing: dict[tuple[str, str], int] = {}

    def watch(self, member: Member, model: str) -> None:
        """From now on, since no request of the model goes there any more."""
        self._closing[member.group.id, model] = member.num_beats + _NUM_BEATS

    def hear(self, member: Member, beat: Beat) -> None:
        """A beat came; it counts the requests of all front ends."""
        held = {one.model: one.num_held for one in beat.replicas}
        for key, from_beat in tuple(self._closing.items()):
            group_id, model = key
            if group_id == member.group.id and member.num_beats >= from_beat and not held.get(model, 0):
                del self._closing[key]
                self._idle(group_id, model)

    def forget(self, group_id: str, model: str | None = None) -> None:
        """The model is open again; or the group is gone, and with it whatever it held."""
        for key in tuple(self._closing):
            if key[0] == group_id and model in (None, key[1]):
                del self._closing[key]
