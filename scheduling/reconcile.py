"""Reconciliation: from what is desired and what was observed to the next safe steps, again and again.

The rules, and what is guaranteed, are in docs/decisions/0032-reconcile.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never, final

from scheduling.changes.blocked import Blocked, Bridge, all_blocked, bridges_for
from scheduling.changes.fleet import Fleet
from scheduling.changes.lives import Hold, Life, Phase
from scheduling.changes.residency import Memory, StageBytes
from scheduling.changes.restarts import Restarts, Tried
from scheduling.changes.safe_steps import SafeSteps
from vocabulary.steps import (
    Converged,
    Desired,
    DevicesChanged,
    GiveUp,
    GroupEnded,
    GroupStarted,
    ModelsLoaded,
    ModelsNotLoaded,
    ModelsUnloaded,
    ReplicaIdle,
    RestartPolicy,
    Step,
    StepEvent,
)
from vocabulary.units import NEVER_S


@final
class Reconciler:
    """Decides what a fleet does to become what is desired. See `scheduling.machine.Machine`.

    Groups that run already are told (`GroupStarted`) before anything is desired. A group that ended may start
    again: `GroupEnded` is told when its devices are free.
    """

    def __init__(
        self,
        restarts: RestartPolicy,
        *,
        memory: Memory,
        drain_timeout_s: float = 30.0,
        max_leaving: int = 1,
    ) -> None:
        """drain_timeout_s: a closed replica counts as idle after so long. max_leaving: groups out of service
        at once for a change of plan; while lost ones come back, no other goes."""
        self._fleet = Fleet(Restarts(restarts), memory)
        self._safe = SafeSteps(self._fleet, max_leaving=max_leaving)
        self._within_s = restarts.within_s
        self._drain_timeout_s = drain_timeout_s
        self._may_interrupt = False
        self._desired: Desired | None = None
        self._failed: list[tuple[Tried, str]] = []
        self._is_told = True
        # What nothing can be done about, while nothing is heard; and what people were told of it.
        self._stuck: GiveUp | None = None
        self._stuck_told: GiveUp | None = None
        self._wake_s = NEVER_S

    def observe(self, event: StepEvent) -> None:
        fleet = self._fleet
        self._stuck = None
        match event:
            case Desired():
                self._desired = event
            case DevicesChanged(devices):
                fleet.devices = devices
            case GroupStarted(group):
                fleet.start_life(group, Phase.RUNNING)
            case GroupEnded(group_id, why):
                if not fleet.end_life(group_id) and why:
                    self._failed.append(((group_id, ""), why))
            case ModelsLoaded(group_id, models):
                fleet.turn(group_id, models, Hold.LOADING, Hold.LOADED)
            case ModelsNotLoaded(group_id, models, why):
                self._failed += [((group_id, model), why) for model in models]
                fleet.forget(group_id, models)
            case ModelsUnloaded(group_id, models):
                fleet.forget(group_id, models)
            case ReplicaIdle(group_id, model):
                fleet.turn(group_id, (model,), Hold.CLOSED, Hold.IDLE)
            case _:
                assert_never(event)

    def decide(self, now_s: float) -> list[Step]:
        steps: list[Step] = [step for tried, why in self._failed if (step := self._fail(tried, why, now_s))]
        self._failed = []
        if self._desired is not None:
            self._desire(self._desired)
            steps = []  # what was given up before is tried again
        self._end_drains(now_s)
        again_s = NEVER_S
        while True:
            more = self._safe.next(now_s)
            if not more and not self._is_under_way():
                more, again_s = self._unblock(now_s)
            if not more:
                break
            self._is_told = False
            steps += more
        if not self._is_told and self._is_converged():
            self._is_told = True
            steps.append(Converged())
        self._wake_s = min(again_s, self._next_try_s(now_s), self._drained_s())
        return steps

    @property
    def wake_s(self) -> float:
        return self._wake_s

    def _desire(self, desired: Desired) -> None:
        self._fleet.desire(desired.placement)
        self._desired, self._may_interrupt = None, desired.may_interrupt
        self._is_told, self._stuck_told = False, None

    def _fail(self, tried: Tried, why: str, now_s: float) -> GiveUp | None:
        restarts = self._fleet.restarts
        num_failures = restarts.failed(tried, now_s)
        if not restarts.is_given_up(tried):
            return None
        what = f"loading {tried[1]}" if tried[1] else "the group"
        self._is_told = False
        told = f"{what} failed {num_failures} times within {self._within_s:g} s: {why}"
        return GiveUp(tried[0], told, load=tried[1])

    def _end_drains(self, now_s: float) -> None:
        for life in self._fleet.lives.values():
            for model in life.held(Hold.CLOSED):
                if life.closed_s[model] + self._drain_timeout_s <= now_s:
                    life.holds[model] = Hold.IDLE

    # Where no step is safe.

    def _unblock(self, now_s: float) -> tuple[list[Step], float]:
        """Bridges, else an interruption if that is allowed, else a word to people, once."""
        blocked = all_blocked(self._fleet)
        if not blocked or self._stuck is not None:
            return [], NEVER_S
        again_s = NEVER_S
        for one in blocked:
            if not one.endangered:
                return list(self._interrupt(one, now_s)), NEVER_S
            bridges, waits_s = bridges_for(one, self._fleet, now_s)
            again_s = min(again_s, waits_s)
            if bridges:
                return self._build(bridges), NEVER_S
        if again_s < NEVER_S:
            return [], again_s
        if self._may_interrupt:
            return list(self._interrupt(blocked[0], now_s)), NEVER_S
        self._stuck = _no_way(blocked[0])
        if self._stuck == self._stuck_told:
            return [], NEVER_S
        self._stuck_told = self._stuck
        return [self._stuck], NEVER_S

    def _build(self, bridges: Iterable[Bridge]) -> list[Step]:
        self._fleet.bridges |= {(bridge.life.group.id, bridge.model) for bridge in bridges}
        loads: dict[str, tuple[Life, dict[str, StageBytes]]] = {}
        for bridge in bridges:
            loads.setdefault(bridge.life.group.id, (bridge.life, {}))[1][bridge.model] = bridge.taken
        return [self._safe.load_into(life, fitting) for life, fitting in loads.values()]

    def _interrupt(self, blocked: Blocked, now_s: float) -> Iterable[Step]:
        if blocked.closing is None:
            yield from self._safe.leave(blocked.life, now_s)
        else:
            for model in blocked.closing:
                yield self._safe.close_one(blocked.life, model, now_s)

    # When to decide again, and whether there is anything left to do.

    def _is_under_way(self) -> bool:
        """Something will be heard of, or is tried again by itself."""
        fleet = self._fleet
        for life in fleet.lives.values():
            if life.phase is not Phase.RUNNING or life.is_busy or life.held(Hold.CLOSED):
                return True
        return self._next_try_s(-NEVER_S) < NEVER_S

    def _next_try_s(self, now_s: float) -> float:
        """When something that failed is tried again, after now."""
        fleet = self._fleet
        groups = (group for group in fleet.desired.values() if fleet.is_possible(group))
        times_s = [fleet.restarts.next_s((group.id, "")) for group in groups if not fleet.blockers(group)]
        for life in fleet.running():
            loadable = not life.is_leaving and not fleet.needs_restart(life)
            missing = fleet.fitting(life, fleet.missing(life)) if loadable else ()
            times_s += [fleet.restarts.next_s((life.group.id, model)) for model in missing]
        return min((time_s for time_s in times_s if time_s > now_s), default=NEVER_S)

    def _drained_s(self) -> float:
        lives = self._fleet.lives.values()
        closed_s = [life.closed_s[model] for life in lives for model in life.held(Hold.CLOSED)]
        return min(closed_s, default=NEVER_S) + self._drain_timeout_s

    def _is_converged(self) -> bool:
        if self._stuck is not None:
            return True
        fleet = self._fleet
        if any(self._is_changing(life) for life in fleet.lives.values()):
            return False
        groups = (group for group in fleet.desired.values() if group.id not in fleet.lives)
        return all(fleet.restarts.is_given_up((group.id, "")) for group in groups)

    def _is_changing(self, life: Life) -> bool:
        fleet = self._fleet
        target = fleet.target(life)
        if target is None or life.phase is not Phase.RUNNING or life.is_leaving or fleet.missing(life):
            return True
        extra = [model for model in life.holds if model not in target.models]
        if any(life.holds[model] is not Hold.OPEN for model in life.holds):
            return True
        # Replicas that are not desired stay where the desired ones were given up.
        return not all(fleet.is_up(model) and fleet.is_needed(model) for model in extra)


def _no_way(blocked: Blocked) -> GiveUp:
    models = blocked.endangered
    what = "it cannot stop" if blocked.closing is None else "it cannot make room for other models"
    why = f"{what}: nobody else serves {', '.join(models)}, and no other group has room for it meanwhile"
    hint = "free a device or some memory, or allow the interruption"
    return GiveUp(blocked.life.group.id, f"{why}; {hint}", models)
