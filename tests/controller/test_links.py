"""Links to workers that do not answer."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from controller.life.links import open_link
from controller.on_ray.nouns import StartedGroup
from tests.controller.test_supervisor import G0
from vocabulary.errors import RuntimeFailure
from workers.spec import Address


async def link_to(address: Address, timeout_s: float) -> None:
    started = StartedGroup("g0", "n-0", "node", 1, address, {}, G0)
    await open_link(started, lambda frame: None, lambda why: None, key="k", timeout_s=timeout_s)


@pytest.mark.asyncio
async def test_a_worker_that_takes_no_connection_is_not_waited_for_for_ever():
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # Its queue is full then, and who comes later is not answered at all.
        for _ in range(4):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        host, port = full.getsockname()
        with pytest.raises(RuntimeFailure, match="group g0 does not answer"):
            await link_to(Address(host=host, port=port), 0.2)


@pytest.mark.asyncio
async def test_a_worker_that_is_gone_is_told_at_once(tmp_path: Path):
    with pytest.raises(RuntimeFailure, match="group g0 does not answer"):
        await link_to(Address(socket_path=str(tmp_path / "gone.sock")), 20.0)
