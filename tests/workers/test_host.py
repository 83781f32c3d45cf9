"""A worker host in this process: who may speak, what it answers, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import dataclasses
import stat
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.errors import RuntimeFailure
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.tensors import Tensor
from workers.frames import Beat, DeviceBeat, Done, Frame, Hello, ReplicaBeat, Run, tensor_headers
from workers.host import WorkerHost
from workers.link import SocketLink
from workers.spec import Address, WorkerSpec

KEY = "a secret"
NEVER_S = float("inf")
INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x05\x00\x00\x00"),)


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    config = ParallelConfig(1, 2)
    entry = ProfileEntry(config, (1, 1), {}, {1: (0.002, 0.001)})
    profile = profile_of("m", "cpu", [entry], provenance=Provenance("imported"))
    return WorkerSpec(
        group=Group("g0", ("n-0:0", "n-0:1"), config, ("m",)),
        models=(ModelSpec("m", profile=profile, engine="emulated"),),
        catalog=Catalog({"m": profile}),
        policy=Policy(),
        engine="emulated",
        platform="cpu",
        source_folder=str(tmp_path),
        key=KEY,
        socket_path=str(tmp_path / "g0.sock"),
        beat_interval_s=0.05,
    )


@pytest.fixture
def host(spec: WorkerSpec) -> Iterator[WorkerHost]:
    worker = WorkerHost(spec)
    yield worker
    worker.stop()


@asynccontextmanager
async def visit(address: Address, key: str) -> AsyncIterator[tuple[SocketLink, asyncio.Queue[Frame | str]]]:
    """A controller's end of a link, and what it hears: frames, or in words why the link is lost."""
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Frame | str] = asyncio.Queue()

    def link() -> SocketLink:
        return SocketLink(heard.put_nowait, heard.put_nowait)

    if address.socket_path:
        _, made = await loop.create_unix_connection(link, address.socket_path)
    else:
        _, made = await loop.create_connection(link, address.host, address.port)
    made.send(Hello(key, loop.time()))
    made.flush()
    try:
        yield made, heard
    finally:
        made.close()


async def next_of(kind: type, heard: asyncio.Queue[Frame | str]) -> Frame:
    async with asyncio.timeout(10.0):
        while True:
            frame = await heard.get()
            assert isinstance(frame, Frame), frame
            if isinstance(frame.header, kind):
                return frame


async def ask(link: SocketLink, heard: asyncio.Queue[Frame | str]) -> Frame:
    now_s = asyncio.get_running_loop().time()
    link.send(Run(3, "m", now_s, NEVER_S, NEVER_S, tensor_headers(INPUT)), INPUT)
    link.flush()
    return await next_of(Done, heard)


@pytest.mark.asyncio
async def test_a_request_is_answered_over_the_unix_socket(host: WorkerHost):
    async with visit(host.start(), KEY) as (link, heard):
        answer = await ask(link, heard)
    assert isinstance(answer.header, Done)
    assert (answer.header.request_id, answer.header.fate, answer.header.batch_size) == (3, "served", 1)
    assert bytes(answer.tensors[0].raw) == INPUT[0].raw


@pytest.mark.asyncio
async def test_over_tcp_times_come_back_on_the_controllers_clock(spec: WorkerSpec):
    worker = WorkerHost(dataclasses.replace(spec, socket_path=""))
    try:
        address = worker.start()
        before_s = asyncio.get_running_loop().time()
        async with visit(address, KEY) as (link, heard):
            answer = await ask(link, heard)
        assert isinstance(answer.header, Done)
        assert before_s <= answer.header.finish_s
        assert answer.header.finish_s <= asyncio.get_running_loop().time()
    finally:
        worker.stop()


@pytest.mark.asyncio
async def test_heartbeats_come_without_being_asked_for(host: WorkerHost):
    async with visit(host.start(), KEY) as (_, heard):
        for _ in range(3):
            beat = await next_of(Beat, heard)
    devices = (DeviceBeat(1, 0, 0.0), DeviceBeat(1, 0, 0.0))
    assert beat.header == Beat(0, 0, 0, (0.0, 0.0), replicas=(ReplicaBeat("m", 0),), devices=devices)


@pytest.mark.asyncio
@pytest.mark.parametrize("key", ["a guess", "", "schlüssel"])
async def test_who_does_not_know_the_key_is_cut_off_without_a_word(host: WorkerHost, key: str):
    async with visit(host.start(), key) as (_, heard):
        async with asyncio.timeout(10.0):
            assert isinstance(await heard.get(), str)
        assert heard.empty()


@pytest.mark.asyncio
async def test_a_stranger_does_not_disturb_the_controller(host: WorkerHost):
    address = host.start()
    async with visit(address, KEY) as (link, heard):
        await next_of(Beat, heard)
        async with visit(address, "a guess") as (_, strange), asyncio.timeout(10.0):
            await strange.get()
        assert isinstance((await ask(link, heard)).header, Done)


@pytest.mark.asyncio
async def test_a_new_controller_takes_the_place_of_the_old_one(host: WorkerHost):
    address = host.start()
    async with visit(address, KEY) as (_, old):
        await next_of(Beat, old)
        async with visit(address, KEY) as (link, new):
            assert isinstance((await ask(link, new)).header, Done)
            async with asyncio.timeout(10.0):
                while isinstance(await old.get(), Frame):
                    pass


def test_the_socket_is_for_its_owner_only_and_goes_when_the_host_stops(spec: WorkerSpec):
    worker = WorkerHost(spec)
    path = Path(worker.start().socket_path)
    mode = stat.S_IMODE(path.stat().st_mode)
    worker.stop()
    assert mode == 0o600
    assert not path.exists()
    assert "group-server" not in {thread.name for thread in threading.enumerate()}


def test_a_place_that_cannot_be_listened_on_is_named_and_nothing_stays(spec: WorkerSpec, tmp_path: Path):
    worker = WorkerHost(dataclasses.replace(spec, socket_path=str(tmp_path / "missing" / "g0.sock")))
    with pytest.raises(RuntimeFailure, match=r"group g0 cannot listen on socket .*missing/g0.sock") as caught:
        worker.start()
    assert caught.value.hint
    worker.stop()
    assert "group-server" not in {thread.name for thread in threading.enumerate()}


def test_contexts_are_as_long_as_pages_allow_or_the_deployment_says(spec: WorkerSpec):
    times = (StepTimes(0.001, 0.0),) * 2
    entry = ProfileEntry(spec.group.config, (1, 1), {}, {1: (0.002, 0.001)}, step_times=times)
    profile = profile_of("m", "cpu", [entry], provenance=Provenance("imported"))
    limits = {"m": GenerationLimits(num_pages=10, page_tokens=16)}
    for told, longest in ((None, 160), (100, 100), (1000, 160)):
        model = ModelSpec("m", profile=profile, engine="emulated", max_model_len=told)
        catalog = Catalog({"m": profile})
        host = WorkerHost(dataclasses.replace(spec, models=(model,), catalog=catalog, limits=limits))
        generation = host.interfaces()["m"].generation
        host.stop()
        assert generation is not None
        assert generation.max_model_len == longest
