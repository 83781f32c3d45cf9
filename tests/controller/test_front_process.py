"""A further front end's process: it answers, says when it is idle, and ends when nobody holds its socket."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from controller.front.front_process import FrontProcess, FrontState
from controller.front.words import Drain, Start
from tests.live.fleet_files import write_small_fleet
from vocabulary.deployment import MetricsEndpoint
from vocabulary.formats.disk import load_deployment

pytestmark = pytest.mark.cluster
Story = Callable[[FrontProcess], Coroutine[None, None, None]]


def told(folder: Path) -> FrontProcess:
    served = load_deployment(write_small_fleet(folder) / "deployment.yaml")
    ports = {"grpc": replace(served.grpc, port=0), "http": replace(served.http, port=0)}
    served = replace(served, metrics=MetricsEndpoint(port=0), **ports)
    start = Start(served, 5, 1, "key", "control.sock")
    return FrontProcess(
        start,
        opened=lambda: None,
        lines=lambda lines: None,
        asked=lambda model: None,
        troubled=lambda why: None,
    )


def lived(folder: Path, story: Story) -> tuple[FrontProcess, str]:
    """The process after its end, and why it ended."""

    async def live() -> tuple[FrontProcess, str]:
        process = told(folder)
        running = asyncio.ensure_future(process.run(list))
        async with asyncio.timeout(60.0):
            await process.opened.wait()
            assert process.state is FrontState.OPEN, process.why
            await story(process)
            return process, await running

    return asyncio.run(live())


def test_it_answers_until_it_is_told_to_end(tmp_path) -> None:
    async def drained(process: FrontProcess) -> None:
        _, port = process.metrics.split(":")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert b"200 OK" in await reader.readline()
        writer.close()
        process.say(Drain())
        await process.idle.wait()
        assert process.state is FrontState.OPEN
        process.end()

    process, why = lived(tmp_path, drained)
    assert why == "its process ended with code 0"
    assert process.state is FrontState.ENDED


def test_one_that_is_killed_is_noticed_at_once(tmp_path) -> None:
    async def killed(process: FrontProcess) -> None:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)

    process, why = lived(tmp_path, killed)
    assert why == "its process ended with code -9"
    assert process.idle.is_set()


def test_it_ends_when_the_fleets_process_is_gone(tmp_path) -> None:
    async def left(process: FrontProcess) -> None:
        # As the kernel does with the sockets of a process that died.
        assert process._channel is not None
        process._channel.close()

    _, why = lived(tmp_path, left)
    assert why == "its process ended with code 0"
