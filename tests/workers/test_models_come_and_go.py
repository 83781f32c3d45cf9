"""Models that come to a running group and leave it, emulated: over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.workers.emulated_group import KEY, spec_of, without
from tests.workers.group_visits import visit
from vocabulary.errors import RuntimeFailure
from workers.frames import Beat, Done
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
async def test_a_model_is_removed_only_when_nothing_of_it_is_held(host: WorkerHost, spec: WorkerSpec):
    host.add(spec)
    async with visit(host.address, KEY) as visitor:
        visitor.ask(1, "slow")
        await visitor.begun()
        with pytest.raises(RuntimeFailure, match="holds requests: 1 of slow"):
            host.remove(("slow", "chat"))
        assert set(host.interfaces()) == set(STAGES_S)
        await visitor.next_of(Done)
        host.remove(("slow", "chat"))
        assert set(host.interfaces()) == {"m"}
        assert host.spec.group.models == ("m",)
        assert (await visitor.answer(2, "slow")).header.fate == "unavailable"
        assert (await visitor.answer(3, "m")).header.fate == "served"


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
