"""A control socket that says what a test wants: the server is real, the fleet behind it is a script."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.verbs.control import ROOT, ControlServer
from vocabulary.errors import StatmuxError

# An answer that does not come while the fleet lives.
SILENCE = "silence"
# The answer, an error to raise, what makes the answer, or one after the other (the last one stays).
Scripted = (
    str | Mapping[str, Any] | StatmuxError | Callable[[Mapping[str, Any]], Mapping[str, Any]] | Sequence[Any]
)


@contextlib.contextmanager
def scripted_fleet(folder: Path, verbs: Mapping[str, Scripted], *, name: str = "f") -> Iterator[list[dict]]:
    """Listens for fleet `name` of the folder. Yields the requests that it has heard so far."""
    heard: list[dict] = []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    path = folder / ROOT / name / "control.sock"
    ending = asyncio.Event()
    server = ControlServer(path, {verb: _answering(script, heard, ending) for verb, script in verbs.items()})
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
        yield heard
    finally:
        asyncio.run_coroutine_threadsafe(_end(server, ending), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: ControlServer, ending: asyncio.Event) -> None:
    """Connections end, too, so that no task is left."""
    await server.close()
    ending.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=5.0) if others else None


def _answering(script: Scripted, heard: list[dict], ending: asyncio.Event) -> Callable:
    left = list(script) if isinstance(script, list | tuple) else [script]

    async def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        heard.append(dict(request))
        said = left.pop(0) if len(left) > 1 else left[0]
        if said == SILENCE:
            await ending.wait()
            return {}
        if isinstance(said, StatmuxError):
            raise said
        return said(request) if callable(said) else said

    return answer
