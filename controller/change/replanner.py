"""Watches traffic, plans anew when that is due and worth it, and scales the devices that plans may use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, final

import structlog

from controller.change.applying import Application, Running, replanned
from controller.change.observed_traffic import ObservedTraffic
from controller.change.residency import serving
from controller.change.traffic_expected import says_enough, traffic_expected
from controller.journal import AbstractJournal
from controller.life.own_process import in_own_process
from placement.autoscale import Scaler, chosen_devices, needed_devices
from placement.drift import Expectation, drift, expectation_of
from placement.replan_due import ReplanDue
from placement.replanning import Answer
from vocabulary.deployment import Deployment
from vocabulary.errors import StatmuxError
from vocabulary.placement import Placement

_log = structlog.get_logger("statmux.controller")
# Between two looks at the traffic: short beside any window, and one look is a few milliseconds.
LOOK_S = 5.0
# What a search for the fewest devices may take; several searches share it.
LEAST_NEEDED_BUDGET_S, NEEDED_BUDGET_S = 2.0, 20.0
_NEEDED_TIMEOUT_S = 120.0


class Fleetwide(Protocol):
    """What a replanner needs of the supervisor."""

    deployment: Deployment
    desired: Placement

    @property
    def is_converged(self) -> bool: ...

    def has_given_up(self, model: str) -> bool: ...

    def want(
        self, placement: Placement, *, deployment: Deployment | None = None, may_interrupt: bool = False,
        why: str = "",
    ) -> None: ...  # fmt: skip


Plan = Callable[..., Awaitable[tuple[Application, Answer]]]
Needed = Callable[..., Awaitable[int]]


async def needed_in_own_process(deployment: Deployment, running: Running) -> int:
    """`placement.autoscale.needed_devices` for the traffic of late, sooner where devices may come soon."""
    deployment = serving(deployment, running.unloaded)
    hurry_s = max(LEAST_NEEDED_BUDGET_S, deployment.autoscaling.upscale_delay_s)
    trace = traffic_expected(deployment, running.observed)
    return await in_own_process(
        needed_devices,
        deployment,
        trace,
        budget_s=min(NEEDED_BUDGET_S, hurry_s),
        timeout_s=_NEEDED_TIMEOUT_S,
        what="capacity",
    )


@dataclass(frozen=True, slots=True)
class Planning:
    """How plans are searched; tests have searches of their own."""

    plan: Plan = replanned
    needed: Needed = needed_in_own_process


_PLANNING = Planning()


@dataclass(frozen=True, slots=True)
class _Needed:
    """Devices that traffic needs, and which: is_observed, or as the file expects it."""

    expected: Expectation
    is_observed: bool
    num_devices: int


@final
class Replanner:
    """Runs until it is cancelled. Nothing is planned while steps of the last plan are carried out.

    `placement.replan.trigger: manual` and no autoscaling: it looks, and does nothing.
    """

    def __init__(
        self,
        fleet: Fleetwide,
        observed: ObservedTraffic,
        *,
        running: Callable[[], Running],
        clock: Callable[[], float],
        journal: AbstractJournal,
        planning: Planning = _PLANNING,
        attainment: float | None = None,
    ) -> None:
        """running: what is served now. attainment: that the first plan promised."""
        deployment = fleet.deployment
        self._fleet = fleet
        self._observed = observed
        self._running = running
        self._clock = clock
        self._journal = journal
        self._planning = planning
        expected = expectation_of(traffic_expected(deployment, None), attainment=attainment)
        self._due = ReplanDue(deployment.replanning, expected, now_s=clock())
        self._scaler: Scaler | None = None
        # Devices that the fleet was planned for last, of those that the scaler says.
        self._scaled_to = 0
        self._is_known = attainment is not None or any(model.workload for model in deployment.models)
        self._needed: _Needed | None = None

    async def run(self) -> None:
        """Look at the traffic again and again."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Once. What cannot be planned is told, and tried again when it is due again."""
        if not self._fleet.is_converged:
            return
        try:
            await self._scale()
            await self._replan()
        except StatmuxError as error:
            self._looked(None)
            self._journal.event("replan", moved=False, why=str(error), reasons=["failed"])
            _log.warning("cannot plan anew", why=str(error))

    @property
    def num_devices(self) -> int | None:
        """That plans may use; None: all that are there."""
        return None if self._scaler is None else self._scaler.in_use

    async def _replan(self) -> None:
        now_s, rules = self._clock(), self._fleet.deployment.replanning
        self._due.adopt(rules)
        span_s = self._observed.span_s(now_s, rules.window_s)
        if not self._is_known and span_s >= rules.window_s:
            # Nobody said what traffic to expect: the first window does.
            self._is_known = True
            self._looked(None)
            return
        observation = self._observed.observation(now_s, rules.window_s)
        reasons = self._due.reasons(observation, now_s=now_s, span_s=span_s)
        if not reasons:
            return
        await self._plan(self._allowed(), reasons, min_gain=rules.min_gain, max_moves=rules.max_moves)

    async def _plan(
        self, running: Running, reasons: tuple[str, ...], *, min_gain: float, max_moves: int | None
    ) -> bool:
        """False: the fleet was changed meanwhile, so that the plan does not count."""
        before = self._fleet.desired
        found, result = await self._planning.plan(
            running, why="; ".join(reasons), min_gain=min_gain, max_moves=max_moves
        )
        self._looked(result.chosen.slo_attainment)
        is_moved = found.plan.placement != before
        # Somebody else may have wanted something in the meantime: theirs counts.
        if self._fleet.desired is not before or not self._fleet.is_converged:
            self._journal.event("replan", moved=False, why="the fleet was changed meanwhile", reasons=reasons)
            return False
        self._journal.event(
            "replan", moved=is_moved, why=result.why, reasons=reasons, moves=found.moves,
            num_bytes=found.num_bytes, attainment_now=result.kept.slo_attainment,
            attainment_then=result.chosen.slo_attainment,
        )  # fmt: skip
        if is_moved:
            self._fleet.want(found.plan.placement, why=found.why)
        return True

    def _looked(self, attainment: float | None) -> None:
        """What is observed is what is expected from now on."""
        now_s, window_s = self._clock(), self._fleet.deployment.replanning.window_s
        rhythms = self._observed.observation(now_s, window_s).rhythms
        self._due.looked(Expectation(rhythms, attainment), now_s=now_s)

    async def _scale(self) -> None:
        """The number of devices, and a plan at once where it changes."""
        deployment = self._fleet.deployment
        if not deployment.autoscaling.is_enabled:
            self._scaler = None
            return
        now_s, running = self._clock(), self._running()
        if self._scaler is None:
            self._scaler = self._new_scaler(deployment, running)
            self._scaled_to = self._scaler.in_use
        scaler, before = self._scaler, self._scaled_to
        scaler.observe(now_s, await self._needs(deployment, running, now_s))
        count = scaler.decide(self._clock())
        if count != before:
            reason = f"the traffic needs {count} devices, {before} are used"
            self._journal.event("autoscale", devices=count, before=before)
            self._scaled_to = count
            if not await self._plan(self._allowed(), (reason,), min_gain=0.0, max_moves=None):
                self._scaled_to = before

    def _new_scaler(self, deployment: Deployment, running: Running) -> Scaler:
        used = sum(len(group.devices) for group in running.placement.groups)
        there = len(deployment.cluster.free_devices if running.devices is None else running.devices)
        return Scaler(deployment.autoscaling, num_devices=there, in_use=used)

    async def _needs(self, deployment: Deployment, running: Running, now_s: float) -> int:
        """What was found last, while the traffic is like what that was found for; else it is searched again.

        Of a few requests nobody can say what they are like: as long as there are no more, the file counts.
        """
        observed = running.observed
        is_observed = observed is not None and says_enough(observed)
        if self._needed is not None and self._needed.is_observed == is_observed:
            observation = self._observed.observation(now_s, deployment.replanning.window_s)
            if not is_observed or not drift(self._needed.expected, observation):
                return self._needed.num_devices
        needed = await self._planning.needed(deployment, running)
        expected = expectation_of(traffic_expected(deployment, observed))
        self._needed = _Needed(expected, is_observed, needed)
        return needed

    def _allowed(self) -> Running:
        """What runs, with the devices that plans may use."""
        running = self._running()
        if self._scaler is None:
            return running
        there = running.devices
        deployment = running.deployment
        groups = [g for g in running.placement.groups if there is None or there.issuperset(g.devices)]
        chosen = chosen_devices(deployment, Placement(tuple(groups)), self._scaler.in_use)
        devices = frozenset(chosen.devices)
        return replace(running, devices=devices if there is None else devices & there)
