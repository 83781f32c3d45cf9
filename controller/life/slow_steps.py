"""Steps that take time, each a task: what blocks runs on a thread, what became of it is posted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar, final

import structlog

from controller.life.group_cluster import GroupCluster
from controller.life.members import GroupState, Member, Members
from controller.life.rosters import Rosters
from controller.on_ray.nouns import StartedGroup
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure, StatmuxError
from vocabulary.placement import Group, Placement
from vocabulary.steps import (
    GroupEnded,
    GroupStarted,
    ModelsLoaded,
    ModelsNotLoaded,
    ModelsUnloaded,
    StepEvent,
)
from workers.frames import Frame
from workers.link import Link, Lost, Receive
from workers.spec import WorkerSpec

# Connects to the worker of a started group; raises RuntimeFailure when it does not answer.
Connect = Callable[[StartedGroup, Receive, Lost], Awaitable[Link]]
Result = TypeVar("Result")
SpecsOf = Callable[[Deployment, Placement], Sequence[WorkerSpec]]
_log = structlog.get_logger("statmux.controller")
# Starts and loads wait for minutes, each on a thread; what ends them must never wait for one.
_MAX_SLOW, _MAX_ENDING = 256, 64


@final
class SlowSteps:
    """Starts, changes, stops and links groups. `failure`: why a start failed first, as it was raised."""

    def __init__(
        self,
        cluster: GroupCluster,
        members: Members,
        rosters: Rosters,
        *,
        connect: Connect,
        specs_of: SpecsOf,
        clock: Callable[[], float],
        post: Callable[[StepEvent], None],
        heard: Callable[[Member, Frame], None],
        lost: Callable[[Member, str], None],
        loaded: Callable[[StartedGroup], None],
        done: Callable[[], None],
    ) -> None:
        """heard, lost: what a group's link says. loaded: models came to a group. done: after each step that
        changed what runs."""
        self._cluster = cluster
        self._members = members
        self._rosters = rosters
        self._connect = connect
        self._specs_of = specs_of
        self._clock = clock
        self._post = post
        self._heard = heard
        self._lost = lost
        self._loaded = loaded
        self._done = done
        self._tasks: set[asyncio.Task[None]] = set()
        # Those of the loop are few, and others need them.
        self._slow = ThreadPoolExecutor(_MAX_SLOW, "slow-step")
        self._ending = ThreadPoolExecutor(_MAX_ENDING, "ending-step")
        self.failure: StatmuxError | None = None

    def begin(self, step: Coroutine[None, None, None]) -> None:
        """Let it run until it is done, or until `close`."""
        task = asyncio.get_running_loop().create_task(step)
        self._tasks.add(task)
        task.add_done_callback(self._done_with)

    async def close(self) -> None:
        """Their threads run on until the cluster is closed, which makes what they do fail."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for threads in (self._slow, self._ending):
            threads.shutdown(wait=False)

    async def start(self, members: Sequence[Member], deployment: Deployment) -> None:
        groups = tuple(member.group for member in members)
        try:
            started = await _on_thread(
                self._slow,
                lambda: self._cluster.start_groups(self._specs_of(deployment, Placement(groups))),
            )
        except StatmuxError as error:
            self.failure = self.failure or error
            for member in members:
                member.state, member.why = GroupState.LOST, str(error)
                _log.error("group did not start", group=member.group.id, why=str(error))
                self._post(GroupEnded(member.group.id, str(error)))
            return
        for member, one in zip(members, started, strict=True):
            await self.join(member, one)
        self._done()

    async def join(self, member: Member, started: StartedGroup) -> None:
        """Link a group that runs, and tell that it does."""
        member.life += 1
        life, ends = member.life, []

        def receive(frame: Frame) -> None:
            if member.life == life:
                self._heard(member, frame)

        def lost(why: str) -> None:
            ends.append(why)
            if member.life == life:
                self._lost(member, why)

        try:
            link = await self._connect(started, receive, lost)
        except RuntimeFailure as error:
            await self.bury(member, str(error))
            return
        member.started, member.link, member.heard_s, member.num_beats = started, link, self._clock(), 0
        self._loaded(started)
        self._post(GroupStarted(member.group))
        if ends:  # it died before we knew it
            self._lost(member, ends[0])

    async def stop(self, member: Member) -> None:
        """In order: nothing of it is wanted any more, and nothing runs there."""
        link, member.link = member.link, None
        member.life += 1
        if link is not None:
            link.close()
        await self._release(member, self._cluster.stop_groups)
        self._members.remove(member)
        self._post(GroupEnded(member.group.id))
        self._done()

    async def cut_short(self, member: Member) -> None:
        """Its start fails at once, which is told as the end of that."""
        await self._release(member, lambda group_ids: self._cluster.kill_group(*group_ids))

    async def bury(self, member: Member, why: str) -> None:
        """Its process is dead, or is to be; what it held of the cluster's is given back."""
        member.state, member.why = GroupState.LOST, why
        await self._release(member, lambda group_ids: self._cluster.kill_group(*group_ids))
        self._post(GroupEnded(member.group.id, why))
        self._done()

    async def load(self, member: Member, models: tuple[str, ...], deployment: Deployment) -> None:
        life, group_id = member.life, member.group.id
        group = replace(member.group, models=(*member.group.models, *models))
        try:
            started = await _on_thread(self._slow, lambda: self._changed(group, deployment, add=models))
        except StatmuxError as error:
            if member.life == life:
                _log.error("models did not load", group=group_id, models=models, why=str(error))
                self._post(ModelsNotLoaded(group_id, models, str(error)))
            return
        if member.life == life:
            member.group, member.started = group, started
            self._loaded(started)
            self._post(ModelsLoaded(group_id, models))
            self._done()

    async def unload(self, member: Member, models: tuple[str, ...], deployment: Deployment) -> None:
        life = member.life
        left = tuple(model for model in member.group.models if model not in models)
        group = replace(member.group, models=left)
        try:
            started = await _on_thread(self._slow, lambda: self._changed(group, deployment, remove=models))
        except StatmuxError as error:
            # What it holds is not known now; a new process holds what it should.
            if member.life == life:
                self._lost(member, f"it did not unload {', '.join(models)}: {error}")
            return
        if member.life == life:
            member.group, member.started = group, started
            self._rosters.drop(member, models)
            self._post(ModelsUnloaded(group.id, models))
            self._done()

    def _changed(
        self, group: Group, deployment: Deployment, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> StartedGroup:
        (spec,) = self._specs_of(deployment, Placement((group,)))
        return self._cluster.change_group(spec, add=add, remove=remove)

    async def _release(self, member: Member, release: Callable[[Sequence[str]], None]) -> None:
        try:
            await _on_thread(self._ending, lambda: release([member.group.id]))
        except StatmuxError as error:
            _log.error("group was not released", group=member.group.id, why=str(error))

    def _done_with(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a step was not carried out to its end", exc_info=error)


async def _on_thread(threads: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
    """What Ray raises otherwise is the world's fault, too: it became unreachable in the middle of a step."""
    try:
        return await asyncio.get_running_loop().run_in_executor(threads, call)
    except (StatmuxError, asyncio.CancelledError):
        raise
    except Exception as error:
        _log.exception("a call of the cluster's failed")
        raise RuntimeFailure(str(error).strip() or repr(error)) from error
