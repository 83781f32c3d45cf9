"""A fleet that watches its traffic: when it plans anew, what it then wants, what it leaves alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from controller.change.applying import Running, replanned
from controller.change.observed_traffic import ObservedTraffic
from controller.change.replanner import Planning, Replanner
from controller.journal import NoJournal
from placement.replanning import Answer, Question, answer
from tests.placement.fleets import deployment, model
from tests.placement.test_difference import group
from vocabulary.deployment import Deployment, Workload
from vocabulary.elasticity import Autoscaling, Replanning
from vocabulary.errors import Infeasible
from vocabulary.placement import Placement

NOW = Placement((group("g0", "0.0", "a"), group("g1", "0.1", "b")))
RULES = Replanning("drift", min_gain=0.01, interval_s=30.0, window_s=100.0, horizon_s=1000.0)


@dataclass
class Fleet:
    """A supervisor that is done at once with what it is told."""

    deployment: Deployment
    desired: Placement = NOW
    is_converged: bool = True
    wanted: list[tuple[Placement, str]] = field(default_factory=list)
    given_up: set[str] = field(default_factory=set)

    def has_given_up(self, model: str) -> bool:
        return model in self.given_up

    def want(self, placement: Placement, *, deployment=None, may_interrupt=False, why="") -> None:
        self.desired = placement
        self.given_up.clear()
        self.wanted.append((placement, why))


def fleet_of(**keys: object) -> Deployment:
    models = (
        model("a", 40, workload=Workload(1.0)),
        model("b", 40, workload=Workload(1.0)),
    )
    return replace(deployment(*models, num_devices=4), **{"replanning": RULES, **keys})


@dataclass
class Desk:
    """A replanner on a clock that tests move, planning in this process."""

    fleet: Fleet
    now_s: float = 0.0
    num_plans: int = 0
    needed: int = 4
    devices_asked: frozenset[str] | None = None
    error: Infeasible | None = None

    def __post_init__(self) -> None:
        self.observed = ObservedTraffic(max_requests=10_000)
        self.replanner = Replanner(
            self.fleet,
            self.observed,
            running=lambda: Running(self.fleet.deployment, self.fleet.desired, observed=self.trace()),
            clock=lambda: self.now_s,
            journal=NoJournal(),
            planning=Planning(self.plan, self.need),
        )

    def trace(self):
        return self.observed.trace(self.now_s, RULES.window_s)

    async def plan(self, running: Running, *, why: str, min_gain: float, max_moves: int | None):
        self.num_plans += 1
        self.devices_asked = running.devices
        if self.error is not None:
            raise self.error

        async def search(question: Question) -> Answer:
            return answer(question)

        running = replace(running, store_bytes_per_s=1e6)
        return await replanned(
            running, why=why, min_gain=min_gain, max_moves=max_moves, budget_s=0.5, search=search
        )

    async def need(self, deployment: Deployment, running: Running) -> int:
        return self.needed

    async def pass_(self, seconds: float, rates: dict[str, float], *, look_s: float = 5.0) -> None:
        """Even arrivals at these rates, and a look every few seconds."""
        end_s = self.now_s + seconds
        sent = dict.fromkeys(rates, self.now_s)
        while self.now_s < end_s:
            self.now_s += look_s
            for name, rate in rates.items():
                while sent[name] + 1 / rate <= self.now_s:
                    sent[name] += 1 / rate
                    self.observed.add(name, sent[name])
            await self.replanner.look()


@pytest.mark.asyncio
async def test_traffic_as_expected_is_left_alone() -> None:
    desk = Desk(Fleet(fleet_of()))
    await desk.pass_(300.0, {"a": 1.0, "b": 1.0})
    assert desk.num_plans == 0


@pytest.mark.asyncio
async def test_traffic_that_drifts_is_planned_for_once_and_the_new_plan_is_wanted() -> None:
    desk = Desk(Fleet(fleet_of()))
    await desk.pass_(110.0, {"a": 1.0, "b": 1.0})
    await desk.pass_(200.0, {"a": 9.0, "b": 1.0})
    assert desk.fleet.wanted
    placement, why = desk.fleet.wanted[-1]
    assert len(placement.holders("a")) > 1
    assert "a is asked for" in why
    settled = desk.num_plans
    await desk.pass_(200.0, {"a": 9.0, "b": 1.0})
    assert desk.num_plans <= settled + 1


@pytest.mark.asyncio
async def test_a_plan_that_is_not_worth_it_is_not_looked_for_again_while_the_traffic_stays() -> None:
    rules = replace(RULES, min_gain=1e9)
    desk = Desk(Fleet(fleet_of(replanning=rules)))
    await desk.pass_(110.0, {"a": 1.0, "b": 1.0})
    await desk.pass_(400.0, {"a": 9.0, "b": 1.0})
    assert desk.fleet.wanted == []
    # While the window fills, the rate rises still; then it is what is expected.
    assert 1 <= desk.num_plans <= 4


@pytest.mark.asyncio
async def test_a_manual_fleet_and_one_that_is_busy_do_not_plan() -> None:
    manual = Desk(Fleet(fleet_of(replanning=replace(RULES, trigger="manual"))))
    busy = Desk(Fleet(fleet_of(), is_converged=False))
    for desk in (manual, busy):
        await desk.pass_(300.0, {"a": 9.0, "b": 1.0})
        assert desk.num_plans == 0


@pytest.mark.asyncio
async def test_an_interval_plans_whatever_the_traffic() -> None:
    desk = Desk(Fleet(fleet_of(replanning=replace(RULES, trigger="interval", interval_s=60.0))))
    await desk.pass_(300.0, {"a": 1.0, "b": 1.0})
    assert desk.num_plans == 5
    assert desk.fleet.wanted == []


@pytest.mark.asyncio
async def test_what_cannot_be_planned_is_tried_again_only_when_it_is_due() -> None:
    desk = Desk(Fleet(fleet_of(replanning=replace(RULES, trigger="interval", interval_s=60.0))))
    desk.error = Infeasible("there is no room")
    await desk.pass_(300.0, {"a": 1.0, "b": 1.0})
    assert desk.num_plans == 5


@pytest.mark.asyncio
async def test_a_change_that_somebody_made_meanwhile_counts_more() -> None:
    desk = Desk(Fleet(fleet_of()))
    await desk.pass_(110.0, {"a": 1.0, "b": 1.0})
    plan = desk.plan

    async def slow(*args: object, **words: object):
        found = await plan(*args, **words)
        desk.fleet.desired = Placement((group("g0", "0.0", "a"),))
        return found

    desk.replanner._planning = Planning(slow, desk.need)
    await desk.pass_(60.0, {"a": 9.0, "b": 1.0})
    assert desk.num_plans >= 1
    assert desk.fleet.wanted == []


@pytest.mark.asyncio
async def test_a_number_of_devices_whose_plan_was_overtaken_is_planned_for_again() -> None:
    scaling = Autoscaling(True, min_devices=1, upscale_delay_s=10.0, downscale_delay_s=10.0)
    desk = Desk(Fleet(fleet_of(autoscaling=scaling)))
    plan, overtaken = desk.plan, []

    async def overtaken_once(*args: object, **words: object):
        found = await plan(*args, **words)
        if not overtaken:
            overtaken.append(desk.now_s)
            desk.fleet.desired = replace(desk.fleet.desired)
        return found

    desk.needed = 1
    desk.replanner._planning = Planning(overtaken_once, desk.need)
    await desk.pass_(60.0, {"a": 1.0, "b": 1.0})
    assert len(overtaken) == 1
    assert len({device for one in desk.fleet.desired.groups for device in one.devices}) == 1


@pytest.mark.asyncio
async def test_fewer_devices_are_used_after_a_quiet_time_and_more_when_they_are_needed() -> None:
    scaling = Autoscaling(True, min_devices=1, upscale_delay_s=10.0, downscale_delay_s=60.0)
    desk = Desk(Fleet(fleet_of(autoscaling=scaling)))
    desk.needed = 1
    await desk.pass_(30.0, {"a": 1.0, "b": 1.0})
    assert desk.replanner.num_devices == 2
    await desk.pass_(60.0, {"a": 1.0, "b": 1.0})
    assert desk.replanner.num_devices == 1
    used = {device for one in desk.fleet.desired.groups for device in one.devices}
    assert len(used) == 1
    assert desk.fleet.desired.models == {"a", "b"}
    desk.needed = 3
    await desk.pass_(200.0, {"a": 9.0, "b": 9.0})
    assert desk.replanner.num_devices == 3
    assert len(desk.devices_asked or ()) == 3
    assert len({device for one in desk.fleet.desired.groups for device in one.devices}) == 3


@pytest.mark.asyncio
async def test_what_few_requests_needed_is_not_taken_for_what_more_of_them_need() -> None:
    scaling = Autoscaling(True, min_devices=1, upscale_delay_s=10.0, downscale_delay_s=600.0)
    desk = Desk(Fleet(fleet_of(autoscaling=scaling)))
    # Too few to say anything: they are planned for as the file expects.
    desk.needed = 2
    await desk.pass_(5.0, {"a": 9.0, "b": 9.0})
    desk.needed = 4
    await desk.pass_(40.0, {"a": 9.0, "b": 9.0})
    assert desk.replanner.num_devices == 4
    # Hardly anybody asks any more: the file counts again.
    desk.needed = 2
    await desk.pass_(800.0, {"a": 0.1, "b": 0.1})
    assert desk.replanner.num_devices == 2
