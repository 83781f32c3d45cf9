"""Models that come to a running group and leave it, emulated: over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.workers.emulated_group import KEY, spec_of, without
from tests.workers.group_visits import Visit, generate, visit
from vocabulary.errors import RuntimeFailure
from workers.frames import Beat, Done, Tokens
from workers.host import WorkerHost
from workers.spec import WorkerSpec

STAGES_S = {"m": (0.002, 0.001), "slow": (0.2, 0.1), "chat": (0.001, 0.001)}


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return spec_of(tmp_path, STAGES_S, generating=("chat",))


@pytest.fixture
def host(spec: WorkerSpec):
    made = WorkerHost(without(spec, "slow", "chat"))
    made.start()
    yield made
    made.stop()


async def num_held(visitor: Visit) -> dict[str, int]:
    """Requests of each model, as the next beat says."""
    return {one.model: one.num_held for one in (await visitor.next_of(Beat)).replicas}


@pytest.mark.asyncio
async def test_a_model_that_is_added_serves_beside_the_others(host: WorkerHost, spec: WorkerSpec):
    async with visit(host.address, KEY) as visitor:
        assert (await visitor.answer(1, "slow")).header.fate == "unavailable"
        host.read_more(spec)
        host.add(spec)
        assert set(host.interfaces()) == set(STAGES_S)
        assert (await visitor.answer(2, "slow")).header.fate == "served"
        assert (await visitor.answer(3, "m")).header.fate == "served"
        assert [one.model for one in (await visitor.next_of(Beat)).replicas] == list(STAGES_S)
        assert host.spec.group.models == tuple(STAGES_S)
        assert set(host.spec.limits) == {"chat"}


@pytest.mark.asyncio
async def test_a_model_is_not_removed_while_a_batch_of_it_runs_on(host: WorkerHost, spec: WorkerSpec):
    host.add(spec)
    async with visit(host.address, KEY) as visitor:
        visitor.ask(1, "slow")
        await visitor.begun()
        with pytest.raises(RuntimeFailure, match="holds requests: 1 of slow"):
            host.remove(("slow", "chat"), within_s=0.0)
        assert set(host.interfaces()) == set(STAGES_S)
        done = await visitor.next_of(Done)
        assert (done.fate, done.error) == ("served", "")
        host.remove(("slow", "chat"))
        assert set(host.interfaces()) == {"m"}
        assert host.spec.group.models == ("m",)
        assert (await visitor.answer(2, "slow")).header.fate == "unavailable"
        assert (await visitor.answer(3, "m")).header.fate == "served"


@pytest.mark.asyncio
async def test_requests_that_wait_for_a_model_which_goes_may_be_asked_again(
    host: WorkerHost, spec: WorkerSpec
):
    host.add(spec)
    async with visit(host.address, KEY) as visitor:
        for number in range(20):
            visitor.ask(number, "slow")
        while (await num_held(visitor))["slow"] < 10:
            pass
        host.remove(("slow",))
        fates = {(done := await visitor.next_of(Done)).request_id: done.fate for _ in range(20)}
        assert set(fates) == set(range(20))
        assert fates[19] == "unavailable"
        assert set(fates.values()) == {"served", "unavailable"}
        assert (await visitor.answer(20, "m")).header.fate == "served"


@pytest.mark.asyncio
async def test_an_answer_that_has_begun_when_its_model_goes_is_lost(host: WorkerHost, spec: WorkerSpec):
    host.add(spec)
    async with visit(host.address, KEY) as visitor:
        generate(visitor, 1, [1, 2, 3], num_tokens=1000)
        await visitor.next_of(Tokens)
        host.remove(("chat",))
        done = await visitor.next_of(Done)
        assert (done.fate, done.error) == ("lost", "chat leaves this group")
        assert set(host.interfaces()) == {"m", "slow"}


@pytest.mark.asyncio
async def test_models_come_and_go_under_load_and_every_request_is_answered(
    host: WorkerHost, spec: WorkerSpec
):
    async with visit(host.address, KEY) as visitor:
        fates = []

        async def ask_on() -> None:
            for number in range(150):
                fates.append((await visitor.answer(number, "m")).header.fate)

        asking = asyncio.create_task(ask_on())
        while not asking.done():
            await asyncio.to_thread(host.add, spec)
            await asyncio.to_thread(host.remove, ("slow", "chat"))
        await asking
        assert fates == ["served"] * 150


def test_adding_and_removing_what_is_there_or_not_changes_nothing(host: WorkerHost, spec: WorkerSpec):
    host.remove(("slow",))
    host.add(spec)
    host.add(spec)
    assert set(host.interfaces()) == set(STAGES_S)
    host.drop_unfinished()
    assert set(host.interfaces()) == set(STAGES_S)
