"""Models that come to a group that computes, and leave it, while others serve."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from resharding.transport.host import HostTransport
from tests.workers.device_group import KEY, ids, prompt, spec_of
from tests.workers.group_visits import PATIENCE_S, Visit, generate, visit
from vocabulary.errors import InvalidInput
from vocabulary.numpy_tensors import array_of
from workers.frames import Done, Tokens
from workers.host import WorkerHost
from workers.multicast import STORE, Multicast, Replica
from workers.spec import WorkerSpec


@contextmanager
def running(spec: WorkerSpec, *, transport: HostTransport | None = None) -> Iterator[WorkerHost]:
    host = WorkerHost(spec, transport=transport)
    try:
        host.start()
        yield host
    finally:
        host.stop()


def bytes_on_devices() -> int:
    gc.collect()
    return sum(array.nbytes for array in jax.live_arrays())


async def output(visitor: Visit, number: int, model: str, seed: int) -> np.ndarray:
    frame = await visitor.answer(number, model, ids(seed))
    assert frame.header.fate == "served", frame.header
    return array_of(frame.tensors[0])


async def said(visitor: Visit, number: int, seed: int) -> list[int]:
    generate(visitor, number, prompt(seed).tolist(), num_tokens=5)
    tokens: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while not isinstance(header := (await visitor.heard.get()).header, Done):
            tokens += [one.token for one in header.tokens] if isinstance(header, Tokens) else []
    assert header.fate == "served", header
    return tokens


@pytest.mark.asyncio
async def test_models_that_are_added_answer_as_if_always_there_and_leave_nothing(
    tmp_path: Path,
):
    everything = spec_of(tmp_path, "bert", "gpt2", "chat")
    with running(everything) as host:
        async with visit(host.address, KEY) as visitor:
            expected = [await output(visitor, 1, "gpt2", 7), await said(visitor, 2, 8)]
    with running(spec_of(tmp_path, "bert")) as host:
        async with visit(host.address, KEY) as visitor:
            before = bytes_on_devices()
            for number in (10, 20):
                await asyncio.to_thread(host.read_more, everything)
                await asyncio.to_thread(host.add, everything)
                np.testing.assert_array_equal(await output(visitor, number, "gpt2", 7), expected[0])
                assert await said(visitor, number + 1, 8) == expected[1]
                assert bytes_on_devices() > before
                await asyncio.to_thread(host.remove, ("gpt2", "chat"))
                assert bytes_on_devices() == before
                assert set(host.interfaces()) == {"bert"}
            assert [one.model for one in host.loads()] == ["bert"]
            await output(visitor, 30, "bert", 1)


@pytest.mark.asyncio
async def test_while_models_come_and_go_every_request_of_the_others_is_answered(tmp_path: Path):
    spec, more = spec_of(tmp_path, "bert"), spec_of(tmp_path, "bert", "gpt2")
    with running(spec) as host:
        async with visit(host.address, KEY) as visitor:
            first = await output(visitor, 0, "bert", 3)
            changing = asyncio.create_task(asyncio.to_thread(change, host, more))
            number = 0
            while not changing.done() or number < 20:
                number += 1
                np.testing.assert_array_equal(await output(visitor, number, "bert", 3), first)
            await changing


def change(host: WorkerHost, more: WorkerSpec) -> None:
    for _ in range(2):
        host.add(more)
        host.remove(("gpt2",))


@pytest.mark.asyncio
async def test_what_does_not_load_is_named_and_all_is_as_before(tmp_path: Path):
    good = spec_of(tmp_path, "bert", "gpt2", "chat")
    bad = replace(good, models=(*good.models[:2], replace(good.models[2], source=str(tmp_path / "missing"))))
    with running(spec_of(tmp_path, "bert")) as host:
        before = bytes_on_devices()
        with pytest.raises(InvalidInput, match="missing") as caught:
            host.read_more(bad)
        assert caught.value.where.startswith("model chat")
        assert bytes_on_devices() == before
        # Read, and then given up by who asked for it.
        host.read_more(good)
        assert bytes_on_devices() > before
        host.drop_unfinished()
        assert bytes_on_devices() == before
        # Expected from another group, which sends nothing; and what the store has is of another model.
        save_file({"x": np.zeros(1, np.float32)}, tmp_path / "llama" / "model.safetensors")
        host.read_more(good, expected=("chat",))
        with pytest.raises(InvalidInput) as caught:
            host.add(good)
        assert caught.value.where.startswith("model chat")
        assert bytes_on_devices() == before
        async with visit(host.address, KEY) as visitor:
            await output(visitor, 1, "bert", 1)
        assert set(host.interfaces()) == {"bert"}
        assert [one.name for one in host.spec.models] == ["bert"]


@pytest.mark.asyncio
async def test_weights_come_from_a_living_group_while_it_serves(tmp_path: Path):
    old, new = spec_of(tmp_path, "gpt2", "bert", group="old"), spec_of(tmp_path, "bert", group="new")
    more = spec_of(tmp_path, "bert", "gpt2", group="new")
    giving, getting = HostTransport(), HostTransport()
    with running(old, transport=giving) as source, running(new, transport=getting) as target:
        sources = (Replica(old.group, (giving.endpoint(),)),)
        multicast = Multicast(("gpt2",), sources, (Replica(more.group, (getting.endpoint(),)),), 1)
        async with visit(source.address, KEY) as asks_old, visit(target.address, KEY) as asks_new:
            expected = await output(asks_old, 1, "gpt2", 5)
            target.read_more(more, expected=("gpt2",))
            adding = [
                asyncio.create_task(asyncio.to_thread(source.give, [multicast])),
                asyncio.create_task(asyncio.to_thread(target.add, more, [multicast])),
            ]
            number = 1
            while not all(one.done() for one in adding):
                number += 1
                np.testing.assert_array_equal(await output(asks_old, number, "gpt2", 5), expected)
            await asyncio.gather(*adding)
            assert {one.model: one.origin for one in target.loads()} == {"bert": STORE, "gpt2": "old"}
            np.testing.assert_array_equal(await output(asks_new, 1, "gpt2", 5), expected)


@pytest.mark.asyncio
async def test_a_living_group_that_has_the_model_no_more_sends_receivers_to_the_store(tmp_path: Path):
    old, new = spec_of(tmp_path, "bert", group="old"), spec_of(tmp_path, "bert", group="new")
    more = spec_of(tmp_path, "bert", "gpt2", group="new")
    giving, getting = HostTransport(), HostTransport()
    with running(old, transport=giving) as source, running(new, transport=getting) as target:
        sources = (Replica(old.group, (giving.endpoint(),)),)
        multicast = Multicast(("gpt2",), sources, (Replica(more.group, (getting.endpoint(),)),), 1)
        target.read_more(more, expected=("gpt2",))
        await asyncio.gather(
            asyncio.to_thread(source.give, [multicast]), asyncio.to_thread(target.add, more, [multicast])
        )
        load = target.loads()[-1]
        assert (load.model, load.origin) == ("gpt2", STORE)
        assert load.why.startswith("from old: ")
        async with visit(target.address, KEY) as visitor:
            await output(visitor, 1, "gpt2", 5)
