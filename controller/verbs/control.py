"""The control socket of a fleet: one JSON request a line, one JSON answer a line, for the owner only."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, final

from vocabulary.errors import RuntimeFailure, StatmuxError, TimedOut, Unreachable

Answer = Mapping[str, Any]
Verb = Callable[[Mapping[str, Any]], Awaitable[Answer]]
ROOT = Path(".statmux")
# A control request is a verb and a few words.
_MAX_LINE_BYTES = 64 * 2**10


def socket_path(fleet: str) -> Path:
    """Relative to the folder where the fleet was started: socket paths are limited to about 100 bytes."""
    return ROOT / fleet / "control.sock"


@final
class ControlServer:
    """Listens on the fleet's socket until closed. `verbs` answer, more may come; an unknown verb gets an
    error, and so does one that raises a StatmuxError: its words, with its exit code."""

    def __init__(self, path: Path, verbs: Mapping[str, Verb]) -> None:
        self._path = path
        self.verbs = dict(verbs)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises RuntimeFailure when a living fleet holds the socket; a dead one's socket is replaced."""
        if is_alive(self._path):
            raise RuntimeFailure(
                f"a fleet of this name runs already ({self._path})",
                hint="stop it with `statmux stop`, or give the deployment another metadata.name",
            )
        try:
            await self._listen()
        except OSError as error:
            raise RuntimeFailure(
                f"cannot listen on {self._path}: {error.strerror or error}",
                hint="start it in a folder that you may write to; metadata.name must be short",
            ) from error

    async def _listen(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=_MAX_LINE_BYTES)
        os.chmod(self._path, 0o600)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the asker went away, or its line was too long: nothing to answer
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            verb = self.verbs[request["verb"]]
        except (ValueError, TypeError, KeyError):
            return {"error": f"not a request; verbs are {', '.join(self.verbs)}"}
        try:
            return await verb(request)
        except StatmuxError as error:
            told = {"error": error.message, "where": error.where, "hint": error.hint}
            return {**told, "kind": type(error).__name__}


def ask(path: Path, verb: str, *, timeout_s: float, **words: object) -> dict[str, Any]:
    """Ask a running fleet. Raises Unreachable when nobody listens, TimedOut when the answer does not come."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps({"verb": verb, **words}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except TimeoutError:
        raise TimedOut(f"the fleet at {path} did not answer {verb!r} within {timeout_s:g} s") from None
    except OSError as error:
        raise Unreachable(
            f"no fleet answers at {path} ({error.strerror or error})",
            hint="start one with `statmux serve`, in this folder",
        ) from None
    if not line:
        raise Unreachable(f"the fleet at {path} closed the connection without an answer")
    return json.loads(line)


def is_alive(path: Path) -> bool:
    """Whether a fleet listens there."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2.0)
            connection.connect(str(path))
    except OSError:
        return False
    return True
