"""The story behind a real HTTP endpoint, on a thread: each document is two virtual seconds after the last."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from controller.http import RunningHttp, start_http
from controller.live.routes import VERB, live_routes
from controller.tenants import ONE_TENANT, Tenants
from tests.controller.live.story import Story
from tests.controller.scripted_fleet import ScriptedFleet

STEP_S = 2.0
# Pages ask every two seconds; here there is no need to wait so long.
HURRY = """
const slow = window.setTimeout;
window.setTimeout = (call, wait_ms, ...more) => slow(call, (wait_ms ?? 0) / 20, ...more);
"""


@dataclass(slots=True)
class Told:
    """address: of the endpoint. step_s: how much time goes by between two documents."""

    address: str
    loop: asyncio.AbstractEventLoop
    step_s: float = STEP_S
    num: int = 0
    changed: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda document: document)


@contextmanager
def serving(
    document: Callable[[float], dict[str, Any]], *, tenants: Tenants = ONE_TENANT, port: int = 0
) -> Iterator[Told]:
    """document: what is told, given how much time has gone by."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="story", daemon=True)
    thread.start()
    told = Told("", loop)

    async def look(words: Mapping[str, Any]) -> Mapping[str, Any]:
        told.num += 1
        return told.changed(await asyncio.to_thread(document, told.step_s))

    async def start() -> RunningHttp:
        routes = live_routes(lambda: {VERB: look})
        fleet = ScriptedFleet([], scripts={})
        return await start_http(fleet, {}, port=port, tenants=tenants, routing=[routes])

    running = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    told.address = f"http://127.0.0.1:{running.port}"
    try:
        yield told
    finally:
        asyncio.run_coroutine_threadsafe(running.stop(0.0), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(slots=True)
class Recording:
    """Documents one after another; the last of a part again and again, later each time, until `part` is
    another."""

    parts: dict[str, list[dict[str, Any]]]
    part: str
    _num: int = 0
    _late_s: float = 0.0

    def __call__(self, step_s: float) -> dict[str, Any]:
        documents = self.parts[self.part]
        if self._num < len(documents):
            self._num += 1
            return documents[self._num - 1]
        self._late_s += step_s
        last = documents[-1]
        return {**last, "unix_s": last["unix_s"] + self._late_s, "uptime_s": last["uptime_s"] + self._late_s}

    def go_on(self, part: str) -> None:
        self.part, self._num, self._late_s = part, 0, 0.0


def of_story(story: Story) -> Callable[[float], dict[str, Any]]:
    """Its documents, one after another."""

    def document(step_s: float) -> dict[str, Any]:
        story.advance(step_s)
        return story.document()

    return document
