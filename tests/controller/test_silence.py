"""Who counts as dead for saying nothing, and who does not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from controller.life.members import Member, Members
from controller.life.silence import Silence
from tests.controller.ray_fleet import group
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from workers.link import MemoryLink

TIMEOUT_S = 0.04
NUM_LOOKS = 8


@dataclass
class Clock:
    """Goes on by so much each time that somebody looks at it."""

    step_s: float
    now_s: float = 100.0
    num_looks: int = 0

    def __call__(self) -> float:
        self.now_s += self.step_s
        self.num_looks += 1
        return self.now_s


def running(*, heard_s: float) -> Members:
    members = Members(Placement((group("g0", ["n-0:0"], ParallelConfig(1, 1)),)))
    for member in members:
        member.link, member.heard_s = MemoryLink(lambda frame: None), heard_s
    return members


async def lost_of(members: Members, clock: Clock) -> list[str]:
    """Who was lost, after some looks."""
    lost: list[str] = []

    def lose(member: Member, why: str) -> None:
        lost.append(member.group.id)
        member.link = None

    silence = Silence(members, timeout_s=TIMEOUT_S, clock=clock, lose=lose)
    silence.start()
    async with asyncio.timeout(10.0):
        while clock.num_looks < 2 * NUM_LOOKS:
            await asyncio.sleep(0)
    silence.stop()
    return lost


@pytest.mark.asyncio
async def test_who_says_nothing_for_the_time_out_is_lost_once() -> None:
    assert await lost_of(running(heard_s=100.0), Clock(TIMEOUT_S / 8)) == ["g0"]


@pytest.mark.asyncio
async def test_who_was_just_heard_is_not_lost() -> None:
    assert await lost_of(running(heard_s=101.0), Clock(TIMEOUT_S / 8)) == []


@pytest.mark.asyncio
async def test_after_a_while_away_everybody_has_a_new_period() -> None:
    assert await lost_of(running(heard_s=100.0), Clock(1000.0)) == []
