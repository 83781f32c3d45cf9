"""Closed replicas, until nothing of their models runs or waits on their groups any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from controller.members import Member
from workers.frames import Beat

# The first beat after closing may have been written before what was sent last was read.
_NUM_BEATS = 2


@final
class IdleReplicas:
    """Calls `idle(group_id, model)` once for each, when beats say so or its time is up."""

    def __init__(self, idle: Callable[[str, str], None]) -> None:
        self._idle = idle
        self._closing: dict[tuple[str, str], int] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def watch(self, member: Member, model: str, *, timeout_s: float) -> None:
        """From now on, since no request of the model goes there any more."""
        key = (member.group.id, model)
        self.forget_one(key)
        self._closing[key] = member.num_beats + _NUM_BEATS
        self._timers[key] = asyncio.get_running_loop().call_later(timeout_s, self._end, key)

    def hear(self, member: Member, beat: Beat) -> None:
        """A beat came; it counts the requests of all front ends."""
        held = {one.model: one.num_held for one in beat.replicas}
        for key, from_beat in tuple(self._closing.items()):
            group_id, model = key
            if group_id == member.group.id and member.num_beats >= from_beat and not held.get(model, 0):
                self._end(key)

    def forget(self, group_id: str) -> None:
        """The group is gone, and with it whatever it held."""
        for key in [key for key in self._closing if key[0] == group_id]:
            self.forget_one(key)

    def forget_one(self, key: tuple[str, str]) -> None:
        """It is not waited for any more."""
        self._closing.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Forget all."""
        for key in tuple(self._closing):
            self.forget_one(key)

    def _end(self, key: tuple[str, str]) -> None:
        self.forget_one(key)
        self._idle(*key)
