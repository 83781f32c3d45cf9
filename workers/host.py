"""Runs one group server in this process: its loop on a thread, its engine, its front ends, its heartbeat."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from traceback import format_exception
from typing import Any, final

import structlog

from resharding.transport.host import HostTransport
from scheduling.group import GroupScheduler
from workers.emulated_engine import EmulatedEngine
from workers.engine import Engine, ModelInterface
from workers.multicast import Load, Multicast
from workers.precise_timers import ask_for_precise_timers, precise_loop
from workers.reception import Reception
from workers.server import GroupServer
from workers.spec import Address, WorkerSpec

_log = structlog.get_logger("statmux.worker")
# How long batches that run may take to end when their model goes, and how often that is looked at.
ENDING_S, _LOOK_S = 10.0, 0.01


def _ignore(news: object) -> None:
    return None


@final
class WorkerHost:
    """Start: load the engine, then listen. Stop: close all, also after a failed start. Called once each.

    In between models come and go: `read_more` and `add`, `remove`; one change at a time, others wait.
    linked: called on the loop when the first front end comes, and when the last has gone.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        transport: HostTransport | None = None,
        linked: Callable[[bool], None] = _ignore,
    ) -> None:
        self._spec = spec
        self._loop = precise_loop()
        self._loop.set_exception_handler(self._fail)
        self._thread = threading.Thread(target=self._run_loop, name="group-server", daemon=True)
        self._engine = _engine(spec, self._loop, lost=self._end, transport=transport)
        machine = GroupScheduler(
            spec.group, catalog=spec.catalog, policy=spec.policy, limits=spec.limits, tells_pages=True
        )
        page_tokens = {model: one.page_tokens for model, one in spec.limits.items()}
        self._server = GroupServer(
            machine, self._engine, loop=self._loop, soon=self._loop.call_soon, page_tokens=page_tokens
        )
        self._reception = Reception(spec, self._server, loop=self._loop, linked=linked)
        self._beats: asyncio.TimerHandle | None = None
        self._changing = threading.Lock()
        self.address = Address()

    @property
    def spec(self) -> WorkerSpec:
        """With the models that are here now."""
        return self._spec

    def read(self, *, expected: Collection[str] = ()) -> None:
        """Read weights (slow), but for the `expected` models'. May be left out. Raises StatmuxError."""
        self._engine.read(expected=expected)

    def start(self, multicasts: Sequence[Multicast] = ()) -> Address:
        """Take part in these, load every model (slow), then listen. Raises StatmuxError."""
        self._engine.load(multicasts)
        self._thread.start()
        self.address = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self.address

    def interfaces(self) -> Mapping[str, ModelInterface]:
        return self._engine.interfaces()

    def loads(self) -> tuple[Load, ...]:
        """How the models' weights came."""
        return self._engine.loads()

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """Give weights to new replicas of other groups. Blocks."""
        self._engine.give(multicasts)

    def read_more(self, spec: WorkerSpec, *, expected: Collection[str] = ()) -> None:
        """Read the weights of models of `spec` that are not here (slow), but the `expected`.

        Those that are here serve meanwhile. Raises StatmuxError; then all is as before.
        """
        with self._changing:
            self._engine.read_more(spec, expected=expected)

    def add(self, spec: WorkerSpec, multicasts: Sequence[Multicast] = ()) -> None:
        """Take part in these and serve the models of `spec` that are not here, too (slow).

        Those that are here serve meanwhile, with the limits that they had. Raises StatmuxError; then all is
        as before.
        """
        with self._changing:
            self._engine.add(spec, multicasts)
            self._perform(self._add(spec))
            self._spec = _with(self._spec, spec)

    def remove(self, models: Collection[str], *, within_s: float = ENDING_S) -> None:
        """Forget models, also such that were read and never added, and give their memory back.

        Requests of them end first: those that wait at once, those that run with their batch. Raises
        RuntimeFailure, and removes nothing, where that takes longer than `within_s`.
        """
        with self._changing:
            self._perform(self._remove(models, within_s))
            self._spec = _without(self._spec, models)

    def drop_unfinished(self) -> None:
        """Forget what was read and never added: who asked for it is gone."""
        with self._changing:
            self._engine.read_more(self._spec)

    def stop(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._engine.close()
        self._loop.close()

    def _run_loop(self) -> None:
        ask_for_precise_timers()
        self._loop.run_forever()

    def _perform(self, change: Coroutine[Any, Any, None]) -> None:
        """On the loop. Blocks; raises what it raises."""
        asyncio.run_coroutine_threadsafe(change, self._loop).result()

    async def _add(self, spec: WorkerSpec) -> None:
        self._server.add_models(spec)

    async def _remove(self, models: Collection[str], within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._server.end_requests(models):
                    await asyncio.sleep(_LOOK_S)
        self._server.remove_models(models)

    async def _listen(self) -> Address:
        address = await self._reception.listen()
        self._beat()
        return address

    async def _close(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
        self._reception.close()

    def _end(self, why: str) -> None:
        """The group cannot go on. What has failed is answered in this turn of the loop, then that is told."""
        self._loop.call_soon(self._reception.say_goodbye, why)

    def _fail(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        """An error of ours on the loop: what it left undone nobody would do."""
        error = context.get("exception")
        words = context["message"] if error is None else "".join(format_exception(error))
        _log.error("the group's server failed", group=self._spec.group.id, exception=words)
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self._end(f"its server failed: {type(error).__name__}")

    def _beat(self) -> None:
        self._server.beat()
        self._beats = self._loop.call_later(self._spec.beat_interval_s, self._beat)


def _with(ours: WorkerSpec, spec: WorkerSpec) -> WorkerSpec:
    """Further models as `spec` says; those that are here stay as they are."""
    here = {one.name for one in ours.models}
    models = (*ours.models, *(one for one in spec.models if one.name not in here))
    return replace(
        ours,
        group=replace(ours.group, models=tuple(one.name for one in models)),
        models=models,
        catalog=spec.catalog,
        limits={**spec.limits, **ours.limits},
    )


def _without(ours: WorkerSpec, gone: Collection[str]) -> WorkerSpec:
    models = tuple(one for one in ours.models if one.name not in gone)
    return replace(
        ours,
        group=replace(ours.group, models=tuple(one.name for one in models)),
        models=models,
        limits={name: one for name, one in ours.limits.items() if name not in gone},
    )


def _engine(
    spec: WorkerSpec,
    loop: asyncio.AbstractEventLoop,
    *,
    lost: Callable[[str], None],
    transport: HostTransport | None,
) -> Engine:
    if spec.engine == "emulated":
        longest = {one.name: one.max_model_len for one in spec.models if one.max_model_len is not None}
        return EmulatedEngine(
            spec.group, catalog=spec.catalog, loop=loop, limits=spec.limits, max_model_len=longest
        )
    # jax is imported only where it computes.
    from workers.jax_engine import JaxEngine

    return JaxEngine(spec, loop=loop, lost=lost, transport=transport)
