"""A group over two hosts: two processes here, which share memory or speak over TCP as two hosts would."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager

import numpy as np
import pytest

from tests.resharding.transport.errands import shared_names
from tests.workers.follower_process import FollowerProcess
from tests.workers.goldens import load, serve
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.errors import InvalidInput, RuntimeFailure
from vocabulary.messages import Batch
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.request import Request
from workers.engine import BatchResult
from workers.jax_engine import JaxEngine
from workers.notes import Join, NoteLink
from workers.spec import WorkerSpec, host_stages

PATIENCE_S = 60.0
SOURCES = {"bert": "random://bert-tiny?seed=3", "gpt2": "random://gpt2-tiny?seed=4"}


def spec_of(devices: tuple[str, ...], config: ParallelConfig, *, timeout_s: float = 20.0) -> WorkerSpec:
    models = tuple(
        ModelSpec(name, source=source, engine="jax", batch_sizes=(1, 2), sequence_lengths=(8,))
        for name, source in SOURCES.items()
    )
    return WorkerSpec(
        group=Group("wide", devices, config, tuple(SOURCES)),
        models=models,
        catalog=Catalog({}),
        policy=Policy(),
        engine="jax",
        platform="cpu",
        source_folder="/",
        key="a secret",
        socket_path="",
        peer_timeout_s=timeout_s,
    )


TWO_HOSTS = spec_of(("n-0:0", "n-0:1", "n-1:0", "n-1:1"), ParallelConfig(2, 2))
# One model in one bucket: quick to compile.
SMALL = dataclasses.replace(
    spec_of(("n-0:0", "n-1:0"), ParallelConfig(1, 2)),
    models=(ModelSpec("gpt2", source=SOURCES["gpt2"], engine="jax", sequence_lengths=(8,)),),
)


class Leader:
    """The engine on this test's loop."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.engine = JaxEngine(spec, loop=asyncio.get_running_loop(), lost=self.lost.set_result)

    def start(
        self, number: int, model: str, *requests: dict[str, np.ndarray], is_timed: bool = False
    ) -> asyncio.Future[BatchResult]:
        finished = asyncio.get_running_loop().create_future()
        tensors = tuple(
            tuple(tensor_of(name, array) for name, array in request.items()) for request in requests
        )
        batch = Batch(number, model, tuple(Request(index, model, 0.0, 9.0) for index in range(len(requests))))
        self.engine.start(
            batch,
            tensors,
            start_s=0.0,
            stage_freed=lambda now_s: None,
            finished=finished.set_result,
            is_timed=is_timed,
        )
        return finished

    async def outputs(self, number: int, model: str, *requests: dict[str, np.ndarray]) -> list[np.ndarray]:
        async with asyncio.timeout(PATIENCE_S):
            result = await self.start(number, model, *requests)
        assert not result.error, result.error
        return [array_of(answer.tensors[0]) for answer in result.answers]


@pytest.fixture
def follow() -> Iterator[Callable[..., FollowerProcess]]:
    before = shared_names()
    with ExitStack() as stack:

        def start(spec: WorkerSpec, **settings) -> FollowerProcess:
            made = FollowerProcess(spec, **settings)
            stack.callback(made.kill)
            return made

        yield start
    assert shared_names() == before


@asynccontextmanager
async def led(spec: WorkerSpec, *followers: FollowerProcess) -> AsyncIterator[Leader]:
    leader = Leader(dataclasses.replace(spec, followers=tuple(one.address for one in followers)))
    try:
        await asyncio.to_thread(leader.engine.load)
        yield leader
    finally:
        await asyncio.to_thread(leader.engine.close)


def ids(seed: int, *shape: int) -> dict[str, np.ndarray]:
    return {"input_ids": np.random.default_rng(seed).integers(0, 90, shape)}


@pytest.mark.asyncio
@pytest.mark.parametrize("host_name", ["", "other"], ids=["shared memory", "TCP"])
async def test_two_processes_answer_as_one_bit_for_bit(follow: Callable, host_name: str):
    one = {
        name: load(source, config=(2, 2), batch_buckets=(1, 2), sequence_buckets=(8,))
        for name, source in SOURCES.items()
    }
    follower = follow(TWO_HOSTS, host_name=host_name)
    async with led(TWO_HOSTS, follower) as leader:
        requests = [(name, ids(seed, 1 + seed % 2, 3 + seed % 5)) for seed in range(12) for name in SOURCES]
        found = await asyncio.gather(
            *(leader.outputs(number, name, request) for number, (name, request) in enumerate(requests))
        )
        for (name, request), (output,) in zip(requests, found, strict=True):
            np.testing.assert_array_equal(output, *serve(one[name], [request]))
        assert len(leader.engine.stage_busy_s()) == 2
        assert leader.engine.num_recompiles == 0
    assert follower.ends()


@pytest.mark.asyncio
async def test_stages_of_all_hosts_and_what_crosses_between_them_are_timed_by_the_leaders_clock(
    follow: Callable,
):
    follower = follow(SMALL)
    async with led(SMALL, follower) as leader, asyncio.timeout(PATIENCE_S):
        assert (await leader.start(1, "gpt2", ids(3, 1, 4))).times == ()
        before_s = time.monotonic()
        result = await leader.start(2, "gpt2", ids(3, 1, 4), is_timed=True)
    told = [(one.stage, one.is_transfer) for one in result.times]
    assert told == [(0, False), (1, True), (1, False), (2, True)]
    ends_s = [before_s, *(one.end_s for one in result.times)]
    assert all(end_s <= one.start_s <= one.end_s for end_s, one in zip(ends_s, result.times, strict=False))
    assert ends_s[-1] <= result.finish_s


@pytest.mark.asyncio
async def test_a_model_comes_to_all_hosts_of_a_group_while_another_serves_and_leaves_them(follow: Callable):
    both = dataclasses.replace(
        SMALL, models=(*SMALL.models, dataclasses.replace(SMALL.models[0], name="twin"))
    )
    follower = follow(SMALL)
    async with led(SMALL, follower) as leader:
        engine = leader.engine
        (expected,) = await leader.outputs(0, "gpt2", ids(3, 1, 4))
        with pytest.raises(RuntimeFailure, match="was not told of twin"):
            await asyncio.to_thread(engine.read_more, both)
        follower.learn(both)
        for number in (10, 20):
            adding = asyncio.create_task(asyncio.to_thread(engine.add, both))
            running = 0
            while not adding.done():
                running += 1
                (output,) = await leader.outputs(100 * number + running, "gpt2", ids(3, 1, 4))
                np.testing.assert_array_equal(output, expected)
            await adding
            (output,) = await leader.outputs(number, "twin", ids(3, 1, 4))
            np.testing.assert_array_equal(output, expected)
            engine.remove(("twin",))
        (output,) = await leader.outputs(1, "gpt2", ids(3, 1, 4))
        np.testing.assert_array_equal(output, expected)
    assert follower.ends()


@pytest.mark.asyncio
async def test_a_model_that_one_host_cannot_load_is_on_none(follow: Callable):
    bad = dataclasses.replace(SMALL.models[0], name="twin", source="file:///nonexistent")
    good = dataclasses.replace(SMALL.models[0], name="twin")
    follower = follow(SMALL)
    async with led(SMALL, follower) as leader:
        follower.learn(dataclasses.replace(SMALL, models=(*SMALL.models, bad)))
        both = dataclasses.replace(SMALL, models=(*SMALL.models, good))
        with pytest.raises(InvalidInput, match="nonexistent"):
            await asyncio.to_thread(leader.engine.add, both)
        assert set(leader.engine.interfaces()) == {"gpt2"}
        follower.learn(both)
        await asyncio.to_thread(leader.engine.add, both)
        await leader.outputs(1, "twin", ids(3, 1, 4))
        await leader.outputs(2, "gpt2", ids(3, 1, 4))


@pytest.mark.asyncio
async def test_a_follower_that_dies_while_a_model_comes_is_said_and_not_waited_for(follow: Callable):
    both = dataclasses.replace(
        SMALL, models=(*SMALL.models, dataclasses.replace(SMALL.models[0], name="twin"))
    )
    follower = follow(SMALL)
    async with led(SMALL, follower) as leader, asyncio.timeout(PATIENCE_S):
        follower.learn(both)
        follower.signal(signal.SIGSTOP)
        adding = asyncio.create_task(asyncio.to_thread(leader.engine.add, both))
        follower.signal(signal.SIGKILL)
        with pytest.raises(RuntimeFailure, match="host n-1 of group wide is lost"):
            await adding
        assert "is lost" in await leader.lost


@pytest.mark.asyncio
async def test_three_processes_in_a_row_one_with_two_stages(follow: Callable):
    spec = spec_of(("n-0:0", "n-1:0", "n-1:1", "n-2:0"), ParallelConfig(1, 4))
    assert [one.stages for one in host_stages(spec.group)] == [range(1), range(1, 3), range(3, 4)]
    followers = [follow(spec, place=place, host_name=f"n-{place}") for place in (1, 2)]
    one = load(SOURCES["gpt2"], config=(1, 4), batch_buckets=(1, 2), sequence_buckets=(8,))
    async with led(spec, *followers) as leader:
        requests = [ids(seed, 1, 5) for seed in range(8)]
        found = await asyncio.gather(
            *(leader.outputs(number, "gpt2", request) for number, request in enumerate(requests))
        )
        for request, (output,) in zip(requests, found, strict=True):
            np.testing.assert_array_equal(output, *serve(one, [request]))
        assert len(leader.engine.stage_busy_s()) == 4


@pytest.mark.asyncio
async def test_a_follower_that_dies_fails_what_runs_and_the_group(follow: Callable):
    follower = follow(SMALL)
    async with led(SMALL, follower) as leader, asyncio.timeout(PATIENCE_S):
        await leader.outputs(0, "gpt2", ids(0, 1, 4))
        follower.signal(signal.SIGSTOP)
        running = [leader.start(number, "gpt2", ids(number, 1, 4)) for number in range(1, 8)]
        follower.signal(signal.SIGKILL)
        errors = {(await one).error for one in running}
        # Which of both is heard first: that it ended, or that a transfer to it did.
        assert len(errors) == 1
        assert next(iter(errors)).startswith("host n-1 of group wide is lost: ")
        assert await leader.lost == errors.pop()
        assert "is lost" in (await leader.start(9, "gpt2", ids(9, 1, 4))).error


@pytest.mark.asyncio
async def test_a_follower_that_stands_still_is_lost_within_the_time_out(follow: Callable):
    spec = dataclasses.replace(SMALL, peer_timeout_s=3.0)
    follower = follow(spec)
    async with led(spec, follower) as leader, asyncio.timeout(PATIENCE_S):
        follower.signal(signal.SIGSTOP)
        error = (await leader.start(1, "gpt2", ids(1, 1, 4))).error
        assert error.startswith("host n-1 of group wide is lost: ")
        assert await leader.lost == error


@pytest.mark.asyncio
async def test_what_a_follower_cannot_load_is_raised_by_the_leader(follow: Callable):
    missing = (ModelSpec("bert", source="file:///nonexistent", engine="jax"),)
    follower = follow(dataclasses.replace(SMALL, models=missing))
    with pytest.raises(InvalidInput, match="nonexistent") as caught:
        async with led(SMALL, follower):
            pass
    assert caught.value.where.startswith("model bert")


@pytest.mark.asyncio
async def test_a_caller_without_the_key_leads_nobody(follow: Callable):
    follower = follow(SMALL)
    address = (follower.address.host, follower.address.port)
    stranger = NoteLink(socket.create_connection(address))
    stranger.send(Join("another key", (follower.address.endpoint,), 1))
    assert stranger.next(within_s=PATIENCE_S) is None
    stranger.close()
    # A note of three bytes that is none, and what no link of ours says.
    for words in (b"\x03\x00\x00\x00abc", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(address, PATIENCE_S) as caller:
            caller.sendall(words)
            assert caller.recv(1) == b""
    async with led(SMALL, follower) as leader:
        assert await leader.outputs(1, "gpt2", ids(1, 1, 4))


@pytest.mark.parametrize(
    ("devices", "config", "words"),
    [
        (("n-0:0", "n-1:0"), ParallelConfig(2, 1), "stage 0 of group g lies on hosts n-0, n-1"),
        (("n-0:0", "n-1:0", "n-0:1"), ParallelConfig(1, 3), "on host n-0 do not follow each other"),
    ],
)
def test_what_cannot_run_over_hosts_is_refused(devices, config, words: str):
    with pytest.raises(InvalidInput, match=words):
        host_stages(Group("g", devices, config, ("m",)))
