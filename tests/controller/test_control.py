"""The control socket of a fleet: who may ask, what is answered, and what is left by the dead."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.verbs.control import ROOT, ControlServer, ask, is_alive, socket_path
from statmux.asking import asked
from statmux.fleets import control_socket
from vocabulary.errors import InvalidInput, RuntimeFailure, Unreachable


@pytest.fixture(autouse=True)
def standing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets have relative paths, which are short."""
    monkeypatch.chdir(tmp_path)


async def echo(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": request["words"]}


@asynccontextmanager
async def listening(name: str) -> AsyncIterator[Path]:
    server = ControlServer(socket_path(name), {"echo": echo})
    await server.start()
    try:
        yield socket_path(name)
    finally:
        await server.close()


def leave_a_dead_socket(name: str) -> Path:
    """What a fleet that was killed leaves."""
    path = socket_path(name)
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    return path


@pytest.mark.asyncio
async def test_a_verb_is_answered_and_the_socket_is_the_owners_and_goes():
    async with listening("a") as path:
        assert await asyncio.to_thread(ask, path, "echo", timeout_s=30.0, words="hello") == {"heard": "hello"}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()
    with pytest.raises(Unreachable, match=r"no fleet answers at .*control.sock"):
        ask(path, "echo", timeout_s=30.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("line", [b"\n", b"no json\n", b"[1]\n", b'{"verb": "dance"}\n', b'{"verb": [1]}\n'])
async def test_what_is_no_request_is_told_so_and_the_next_one_is_answered(line: bytes):
    async with listening("a") as path:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line + json.dumps({"verb": "echo", "words": 1}).encode() + b"\n")
        assert json.loads(await reader.readline()) == {"error": "not a request; verbs are echo"}
        assert json.loads(await reader.readline()) == {"heard": 1}
        writer.close()


@pytest.mark.asyncio
async def test_a_line_without_end_does_not_disturb_the_others():
    async with listening("a") as path:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"x" * 2**20)
        with contextlib.suppress(ConnectionResetError):  # it did not read all of it
            assert await reader.read() == b""
        writer.close()
        assert await asyncio.to_thread(ask, path, "echo", timeout_s=30.0, words=2) == {"heard": 2}


@pytest.mark.asyncio
async def test_a_living_fleet_keeps_its_name_and_a_dead_one_does_not():
    async with listening("a") as path:
        with pytest.raises(RuntimeFailure, match="a fleet of this name runs already"):
            await ControlServer(path, {}).start()
        assert is_alive(path)
    dead = leave_a_dead_socket("b")
    assert not is_alive(dead)
    async with listening("b"):
        assert is_alive(dead)


@pytest.mark.asyncio
async def test_a_place_where_no_socket_can_be_is_named():
    with pytest.raises(RuntimeFailure, match=r"cannot listen on .statmux/x{200}/control.sock: ") as caught:
        await ControlServer(socket_path("x" * 200), {}).start()
    assert caught.value.hint
    os.rename(ROOT, "elsewhere")
    ROOT.write_text("a file is in the way")
    with pytest.raises(RuntimeFailure, match=r"cannot listen on .statmux/a/control.sock: "):
        await ControlServer(socket_path("a"), {}).start()


@pytest.mark.asyncio
async def test_the_only_living_fleet_of_a_folder_need_not_be_named():
    with pytest.raises(Unreachable, match="no fleet was started in this folder"):
        control_socket(None)
    leave_a_dead_socket("killed")
    assert control_socket(None) == socket_path("killed")
    async with listening("a"):
        assert control_socket(None) == socket_path("a")
        async with listening("b"):
            with pytest.raises(InvalidInput, match="several fleets run here: a, b"):
                control_socket(None)
            assert control_socket("b") == socket_path("b")


@pytest.mark.asyncio
async def test_an_error_says_where_also_through_the_socket():
    async def refuse(request: Mapping[str, Any]) -> Mapping[str, Any]:
        raise InvalidInput("there is no such file", where="other.yaml", hint="did you mean it?")

    server = ControlServer(socket_path("f"), {"apply": refuse})
    await server.start()
    try:
        with pytest.raises(InvalidInput) as caught:
            await asyncio.to_thread(asked, socket_path("f"), "apply", timeout_s=10.0)
    finally:
        await server.close()
    assert str(caught.value) == "other.yaml: there is no such file" and caught.value.hint
