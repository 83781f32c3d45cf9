"""The live shell of `scheduling.reconcile`: whatever changes which groups and models run goes through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextvars import Context
from typing import assert_never, final

import structlog

from controller.fleet import Pulse
from controller.journal import AbstractJournal
from controller.life.group_cluster import GroupCluster
from controller.life.idle_replicas import IdleReplicas
from controller.life.members import GroupState, Member, Members, is_same
from controller.life.past import Past
from controller.life.rosters import Rosters
from controller.life.silence import Silence
from controller.life.slow_steps import Connect, SlowSteps, SpecsOf
from controller.on_ray.nouns import StartedGroup
from scheduling.changes.names import keep_names
from scheduling.machine import Machine
from vocabulary.deployment import Deployment
from vocabulary.deployment_changes import together
from vocabulary.errors import StatmuxError
from vocabulary.placement import Group, Placement
from vocabulary.steps import (
    CloseReplica,
    Converged,
    Desired,
    DevicesChanged,
    GiveUp,
    LoadModels,
    OpenReplica,
    ReplicaIdle,
    StartGroups,
    Step,
    StepEvent,
    StopGroup,
    UnloadModels,
)
from vocabulary.units import NEVER_S
from workers.frames import Beat, Frame, Gone

_log = structlog.get_logger("statmux.controller")


@final
class Supervisor:
    """Posts what was observed, lets the machine decide once per loop turn, performs its steps.

    All methods run on one event loop; what blocks runs on threads (`SlowSteps`). `changed` beats after every
    round of steps. `given_up`: what the machine does not try any more, until something else is wanted.
    `everything`: the deployment with what of the one before is still there, until a change is over.
    """

    def __init__(
        self,
        machine: Machine[StepEvent, Step],
        cluster: GroupCluster,
        rosters: Rosters,
        *,
        deployment: Deployment,
        members: Members,
        connect: Connect,
        specs_of: SpecsOf,
        clock: Callable[[], float],
        journal: AbstractJournal,
        past: Past,
        receive: Callable[[int, Frame], None],
        loaded: Callable[[StartedGroup], None],
        wanted: Callable[[Placement], None],
    ) -> None:
        """receive: hears the frames of groups that front ends know, by index. loaded: how weights came.
        wanted: what is to run from now on."""
        self.deployment = deployment
        self.everything = deployment
        self.members = members
        self.desired = Placement(())
        self.given_up: tuple[GiveUp, ...] = ()
        self.changed = Pulse()
        self._machine = machine
        self._cluster = cluster
        self._rosters = rosters
        self._clock = clock
        self._journal = journal
        self._past = past
        self._receive = receive
        self._wanted = wanted
        self._slow = SlowSteps(
            cluster,
            members,
            rosters,
            connect=connect,
            specs_of=specs_of,
            clock=clock,
            post=self._post,
            heard=self._hear,
            lost=self.lose,
            loaded=loaded,
            done=self._remember,
        )
        self._idle = IdleReplicas(lambda group_id, model: self._post(ReplicaIdle(group_id, model)))
        timeout_s = deployment.health.beat_timeout_s
        self._silence = Silence(members, timeout_s=timeout_s, clock=clock, lose=self.lose)
        self._timer: asyncio.TimerHandle | None = None
        self._is_anything_wanted = False
        self._is_decision_due = False
        self._is_converged = False
        self._is_closed = False

    # What others want.

    def want(
        self,
        placement: Placement,
        *,
        deployment: Deployment | None = None,
        may_interrupt: bool = False,
        why: str = "",
    ) -> None:
        """Run this from now on; returns at once. deployment: in place of the one that was served.

        Groups that stay keep their ids, whatever `placement` calls them. may_interrupt: a model may have no
        replica for a while where there is no other way.
        """
        placement = keep_names(self.desired, placement)
        if deployment is not None:
            self.deployment = deployment
            self.everything = together(deployment, self.everything)
            self._rosters.adopt(deployment)
        self.desired = placement
        self._wanted(placement)
        self.given_up = ()
        self._is_converged = False
        self._journal.event("plan", why=why, groups={group.id: group.models for group in placement.groups})
        self._past.remember_plan(placement)
        self._is_anything_wanted = True
        self._post(Desired(placement, may_interrupt))

    @property
    def is_converged(self) -> bool:
        """What runs is what is wanted, but for what was given up."""
        return self._is_converged

    def has_given_up(self, model: str) -> bool:
        """Whether it is wanted, and no group that is to hold it is tried any more."""
        holders = [group.id for group in self.desired.groups if model in group.models]
        lost = {one.group_id for one in self.given_up if not one.models and one.load in ("", model)}
        return bool(holders) and lost.issuperset(holders)

    @property
    def failure(self) -> StatmuxError | None:
        """Of the first start that failed."""
        return self._slow.failure

    async def converged(self) -> None:
        """Return when it is so."""
        while not self._is_converged:
            await self.changed.wait()

    # What is observed.

    def devices_changed(self, device_ids: Collection[str]) -> None:
        """All that are there now."""
        for member in self.members:
            is_waiting = member.state is GroupState.STARTING and not member.is_running
            if is_waiting and not set(member.group.devices) <= set(device_ids):
                # It would wait for its devices for as long as a start may take.
                self._slow.begin(self._slow.cut_short(member))
        self._post(DevicesChanged(frozenset(device_ids)))

    async def adopt(self, found: Sequence[StartedGroup]) -> None:
        """Groups that run already, with what they hold."""
        known = set(self.deployment.model_names)
        for started in found:
            member = self._member(started.group)
            if strange := sorted(set(started.group.models) - known):
                await self._slow.bury(member, f"it holds {', '.join(strange)}, which no model is called now")
            else:
                await self._slow.join(member, started)

    def watch(self) -> None:
        """Notice deaths and silence from now on."""
        loop = asyncio.get_running_loop()
        self._cluster.watch(lambda group_id, why: loop.call_soon_threadsafe(self._lose_by_id, group_id, why))
        self._silence.start()

    def lose(self, member: Member, why: str) -> None:
        """Its process is gone, or counts as gone; nothing happens if that was known."""
        link, member.link = member.link, None
        if link is None or self._is_closed:
            return
        member.life += 1
        member.state, member.why = GroupState.LOST, why
        self._idle.forget(member.group.id)
        self._rosters.lose(member, why)
        _log.error("group lost", group=member.group.id, why=why)
        self._journal.event("group_lost", group=member.group.id, why=why)
        link.close()
        self._is_converged = False
        self._slow.begin(self._slow.bury(member, why))
        self.changed.beat()

    async def close(self) -> None:
        """Perform nothing more. What blocks on a thread ends when the cluster is closed."""
        self._is_closed = True
        self._silence.stop()
        self._cancel_timer()
        await self._slow.close()
        for member in self.members.running():
            member.link.close()

    def _lose_by_id(self, group_id: str, why: str) -> None:
        member = self.members.of(group_id)
        if member is not None:
            self.lose(member, why)

    def _hear(self, member: Member, frame: Frame) -> None:
        member.heard_s = self._clock()
        match frame.header:
            case Gone(why):
                self.lose(member, why)
                return
            case Beat() as beat:
                member.num_beats += 1
                self._idle.hear(member, beat)
        if member.is_known:
            self._receive(member.index, frame)

    # The shell itself.

    def _post(self, event: StepEvent) -> None:
        if self._is_closed:
            return
        self._machine.observe(event)
        # Before anything is wanted, groups that were found would be stopped.
        if self._is_anything_wanted and not self._is_decision_due:
            self._is_decision_due = True
            # A request may set it off (on demand); what runs on is not of its trace.
            asyncio.get_running_loop().call_soon(self._decide, context=Context())

    def _decide(self) -> None:
        self._is_decision_due = False
        if self._is_closed:
            return
        self._forget_unwanted()
        steps = self._machine.decide(self._clock())
        self._open_replicas([step for step in steps if isinstance(step, OpenReplica)])
        for step in steps:
            self._perform(step)
        self._cancel_timer()
        if self._machine.wake_s < NEVER_S:
            delay_s = max(0.0, self._machine.wake_s - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._decide)
        self.changed.beat()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _perform(self, step: Step) -> None:
        match step:
            case OpenReplica():
                return  # with the others of its group, before
            case Converged():
                self._is_converged = True
                self.everything = self.deployment
                self._journal.event("converged")
            case GiveUp():
                self._give_up(step)
            case StartGroups(groups):
                self._start(groups)
            case StopGroup() | LoadModels() | UnloadModels() | CloseReplica():
                member = self._running(step.group_id)
                if member is not None:
                    self._change(member, step)
            case _:
                assert_never(step)

    def _running(self, group_id: str) -> Member | None:
        """None of one that is lost: its end is told once its devices are free, which ends the step."""
        member = self.members.of(group_id)
        return member if member is not None and member.is_running else None

    def _change(self, member: Member, step: StopGroup | LoadModels | UnloadModels | CloseReplica) -> None:
        match step:
            case StopGroup():
                self._stop(member)
            case LoadModels(group_id, models):
                self._tell("load", group_id, models)
                self._slow.begin(self._slow.load(member, models, self.everything))
            case UnloadModels(group_id, models):
                self._tell("unload", group_id, models)
                self._slow.begin(self._slow.unload(member, models, self.everything))
            case CloseReplica(_, model):
                self._close_replica(member, model)
            case _:
                assert_never(step)

    def _tell(self, kind: str, group_id: str, models: Sequence[str]) -> None:
        _log.info(kind, group=group_id, models=list(models))
        self._journal.event(kind, group=group_id, models=list(models))

    def _open_replicas(self, steps: Sequence[OpenReplica]) -> None:
        """Those of a group together: a group opens with all of its models at once."""
        models: dict[str, list[str]] = {}
        for step in steps:
            models.setdefault(step.group_id, []).append(step.model)
        for group_id, names in models.items():
            member = self._running(group_id)
            if member is not None:
                for name in names:
                    self._idle.forget(group_id, name)
                self._tell("open", group_id, names)
                self._rosters.open(member, names, deployment=self.everything)

    def _close_replica(self, member: Member, model: str) -> None:
        self._tell("close", member.group.id, [model])
        self._rosters.close(member, model)
        if not member.models_open:
            member.state = GroupState.CLOSING
        self._idle.watch(member, model)

    def _start(self, groups: Sequence[Group]) -> None:
        members = [self._member(group) for group in groups]
        # One that fails again and again must not take others with it.
        again = [member for member in members if member.state in (GroupState.LOST, GroupState.GIVEN_UP)]
        first = [member for member in members if member not in again]
        for member in members:
            member.num_restarts += member.state in (GroupState.LOST, GroupState.GIVEN_UP)
            member.state, member.is_begun = GroupState.STARTING, True
            self._tell("start", member.group.id, member.group.models)
        for each in (first, *([member] for member in again)):
            if each:
                self._slow.begin(self._slow.start(each, self.everything))

    def _member(self, group: Group) -> Member:
        """Who has the id, if front ends may go on to know it by the same index; else a new one."""
        member = self.members.of(group.id)
        if member is not None and member.group == group:
            return member
        if member is not None:
            self._rosters.remove(member)
        return self.members.add(group)

    def _stop(self, member: Member) -> None:
        self._tell("stop", member.group.id, member.group.models)
        member.state = GroupState.CLOSING
        self._idle.forget(member.group.id)
        self._rosters.remove(member)
        self._slow.begin(self._slow.stop(member))

    def _give_up(self, step: GiveUp) -> None:
        self.given_up = (*self.given_up, step)
        member = self.members.of(step.group_id)
        if member is not None and not member.is_running:
            member.state = GroupState.GIVEN_UP
        if hopeless := tuple(model for model in sorted(self.desired.models) if self.has_given_up(model)):
            self._rosters.give_up(hopeless)
        _log.error("given up", group=step.group_id, why=step.why, models=list(step.models))
        self._journal.event("group_given_up", group=step.group_id, why=step.why, models=list(step.models))

    def _forget_unwanted(self) -> None:
        """Groups that do not run and are not to come back."""
        for member in self.members:
            is_untouched = not (member.is_begun or member.is_running)
            is_over = is_untouched or member.state in (GroupState.LOST, GroupState.GIVEN_UP)
            if is_over and not any(is_same(member.group, group) for group in self.desired.groups):
                self._rosters.remove(member)
                self.members.remove(member)

    def _remember(self) -> None:
        """For a controller that comes after this one."""
        self._past.remember_cluster(self._cluster.memory())


def group_words(group: Group) -> dict[str, object]:
    """A group as a plan file has it."""
    return {
        "id": group.id,
        "devices": list(group.devices),
        "tensor": group.config.tensor,
        "pipeline": group.config.pipeline,
        "models": list(group.models),
    }
