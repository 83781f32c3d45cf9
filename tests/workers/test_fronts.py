"""A worker and its front ends: each hears of its own requests, and one that goes takes only its own along."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.emulated_group import KEY, spec_of
from tests.workers.group_visits import PATIENCE_S, Visit, generate, visit
from workers.frames import Beat, Done, ReplicaBeat, Tokens, Withdrawn
from workers.host import WorkerHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[WorkerHost]:
    made = WorkerHost(
        spec_of(
            tmp_path, {"m": (0.002, 0.001), "slow": (0.2, 0.1), "chat": (0.001, 0.001)}, generating=("chat",)
        )
    )
    made.start()
    yield made
    made.stop()


async def beat_with(visitor: Visit, *replicas: ReplicaBeat) -> Beat:
    while True:
        beat = await visitor.next_of(Beat)
        if set(replicas) <= {ReplicaBeat(one.model, one.num_held) for one in beat.replicas}:
            return beat


@pytest.mark.asyncio
async def test_every_front_end_hears_of_its_own_requests_only(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as one, visit(host.address, KEY, front=2) as other:
        for number in range(10):
            (one, other)[number % 2].ask(number)
        for visitor, ids in ((one, (0, 2, 4, 6, 8)), (other, (1, 3, 5, 7, 9))):
            begun, done = [], []
            while len(done) < 5:
                async with asyncio.timeout(PATIENCE_S):
                    header = (await visitor.heard.get()).header
                if isinstance(header, Done):
                    done.append(header.request_id)
                    assert header.request_id in begun
                elif not isinstance(header, Beat):
                    begun += header.request_ids
            assert tuple(done) == tuple(begun) == ids


@pytest.mark.asyncio
async def test_work_is_told_to_have_begun_before_it_ends_and_not_while_it_waits(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        visitor.ask(1, "slow")
        visitor.ask(2, "slow")
        assert await visitor.begun() == (1,)
        beat = await visitor.next_of(Beat)
        assert (beat.num_waiting, beat.num_running) == (1, 1)
        assert await visitor.begun() == (2,)
        assert (await visitor.next_of(Done)).request_id == 1


@pytest.mark.asyncio
async def test_the_requests_of_a_front_end_that_goes_are_withdrawn_and_those_of_others_stay(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as stays:
        async with visit(host.address, KEY, front=2) as leaves:
            leaves.ask(1, "slow")
            await leaves.begun()
            for number in range(2, 30):
                leaves.ask(number, "slow")
            await beat_with(stays, ReplicaBeat("slow", 29))
            stays.ask(30, "slow")
        assert (await stays.next_of(Done)).request_id == 30
        beat = await beat_with(stays, ReplicaBeat("slow", 0))
        # Of the other front end's, only what ran when it went.
        assert beat.stage_busy_s[0] == pytest.approx(0.4)
        assert beat.backlog_s == 0.0


@pytest.mark.asyncio
async def test_a_front_end_that_comes_again_hears_nothing_of_what_it_asked_before(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as before:
        before.ask(1, "slow")
        await before.begun()
        async with visit(host.address, KEY, front=1) as after:
            assert "closed" in await before.loss()
            assert (await after.answer(2, "slow")).header.fate == "served"


@pytest.mark.asyncio
async def test_only_who_asked_can_withdraw(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as one, visit(host.address, KEY, front=2) as other:
        one.ask(1, "slow")
        await one.begun()
        one.ask(2, "slow")
        other.link.send(Withdrawn(2))
        other.link.flush()
        assert (await other.answer(3)).header.fate == "served"
        assert [(await one.next_of(Done)).fate for _ in range(2)] == ["served", "served"]


@pytest.mark.asyncio
async def test_tokens_of_one_step_go_to_the_front_ends_that_asked(host: WorkerHost):
    async with visit(host.address, KEY, front=1) as one, visit(host.address, KEY, front=2) as other:
        for number, visitor in ((1, one), (2, other), (3, one)):
            generate(visitor, number, [number] * 4, num_tokens=5)
        for visitor, ids in ((one, {1, 3}), (other, {2})):
            tokens: dict[int, list[int]] = {}
            num_done = 0
            while num_done < len(ids):
                async with asyncio.timeout(PATIENCE_S):
                    header = (await visitor.heard.get()).header
                num_done += isinstance(header, Done)
                for sampled in header.tokens if isinstance(header, Tokens) else ():
                    tokens.setdefault(sampled.request_id, []).append(sampled.token)
            assert tokens == {number: [number] * 5 for number in ids}


@pytest.mark.asyncio
async def test_an_answer_of_many_steps_is_told_to_have_begun_once(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        generate(visitor, 1, [3, 4], num_tokens=6)
        kinds = []
        async with asyncio.timeout(PATIENCE_S):
            while "Done" not in kinds:
                kinds.append(type((await visitor.heard.get()).header).__name__)
        assert kinds.count("AtWork") == 1
        assert kinds.index("AtWork") < kinds.index("Tokens")


@pytest.mark.asyncio
async def test_beats_say_which_models_are_here_and_how_long_the_busiest_stage_needs(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        beat = await visitor.next_of(Beat)
        assert beat.replicas == (ReplicaBeat("m", 0), ReplicaBeat("slow", 0), ReplicaBeat("chat", 0))
        assert beat.backlog_s == 0.0
        for number in range(10):
            visitor.ask(number, "slow")
        beat = await beat_with(visitor, ReplicaBeat("slow", 10))
        # Nine wait for a stage of 0.2 s, and one is in it.
        assert 1.8 <= beat.backlog_s <= 2.0


@pytest.mark.asyncio
async def test_a_request_of_a_model_that_is_not_here_is_told_so(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        done = (await visitor.answer(1, "gone")).header
        assert (done.fate, done.error) == ("unavailable", "gone is not on this group")
