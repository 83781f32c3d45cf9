"""A fleet's models on demand: loaded when asked for, gone when idle, and what the journal says of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from controller.change.observed_traffic import ObservedTraffic
from controller.change.on_demand import OnDemandModels
from controller.journal import NoJournal
from tests.controller.test_replanner import Fleet
from tests.placement.fleets import deployment, model
from tests.placement.test_difference import group
from vocabulary.elasticity import OnDemand
from vocabulary.placement import Placement

RARE = OnDemand(True, idle_unload_s=100.0, max_load_s=7.0)
FLEET = deployment(
    model("a", 60), model("b", 30, on_demand=RARE), model("c", 80, on_demand=RARE), num_devices=2
)
PLANNED = Placement((group("g0", "0.0", "a"),))


@dataclass
class Desk:
    devices: frozenset[str] | None = None
    in_flight: dict[str, int] = field(default_factory=dict)
    unloaded: frozenset[str] = frozenset()
    now_s: float = 0.0

    def __post_init__(self) -> None:
        self.fleet = Fleet(FLEET, PLANNED)
        self.observed = ObservedTraffic(max_requests=100)
        self.models = OnDemandModels(
            self.fleet, self.observed, devices=lambda: self.devices,
            in_flight=lambda name: self.in_flight.get(name, 0), unloaded=lambda: self.unloaded,
            clock=lambda: self.now_s, journal=NoJournal(),
        )  # fmt: skip


def test_a_model_that_is_asked_for_is_wanted_once_and_its_requests_wait_their_time() -> None:
    desk = Desk()
    assert desk.models.asked("b") == 7.0
    assert desk.models.asked("b") == 7.0
    assert [why for _, why in desk.fleet.wanted] == ["b is asked for"]
    assert desk.fleet.desired.models == {"a", "b"}


def test_models_that_are_not_on_demand_or_not_known_do_not_wait() -> None:
    desk = Desk()
    assert desk.models.asked("a") is None
    assert desk.models.asked("nobody") is None
    assert desk.fleet.wanted == []


def test_without_room_on_the_devices_that_are_there_nobody_waits() -> None:
    desk = Desk(devices=frozenset({"n-0:0"}))
    assert desk.models.asked("c") is None
    desk.devices = frozenset({"n-0:0", "n-0:1"})
    assert desk.models.asked("c") == 7.0
    assert desk.fleet.desired.groups[1].devices == ("n-0:1",)


def test_an_idle_model_goes_and_one_that_is_used_or_busy_stays() -> None:
    desk = Desk()
    desk.models.asked("b")
    desk.now_s = 99.0
    desk.observed.add("b", 50.0)
    desk.models.sweep()
    desk.now_s = 149.0
    desk.models.sweep()
    assert desk.fleet.desired.models == {"a", "b"}
    desk.now_s = 151.0
    desk.in_flight["b"] = 1
    desk.models.sweep()
    assert desk.fleet.desired.models == {"a", "b"}
    desk.in_flight.clear()
    desk.fleet.is_converged = False
    desk.models.sweep()
    assert desk.fleet.desired.models == {"a", "b"}
    desk.fleet.is_converged = True
    desk.models.sweep()
    assert desk.fleet.desired == PLANNED
    assert desk.fleet.wanted[-1][1] == "nobody asked for b"


def test_a_model_on_demand_that_a_plan_has_loaded_goes_too_after_its_time() -> None:
    desk = Desk()
    desk.fleet.desired = Placement((group("g0", "0.0", "a", "b"),))
    desk.now_s = 1000.0
    desk.models.sweep()
    assert desk.fleet.desired.models == {"a", "b"}
    desk.now_s = 1100.0
    desk.models.sweep()
    assert desk.fleet.desired.models == {"a"}


def test_a_ring_that_is_full_knows_a_shorter_window() -> None:
    observed = ObservedTraffic(max_requests=10)
    for number in range(25):
        observed.add("ab"[number % 2], float(number))
    assert observed.span_s(25.0, 100.0) == 10.0
    trace = observed.trace(25.0, 100.0)
    assert len(trace) == 10
    assert trace.models == ("a", "b")
    assert np.all(np.diff(trace.arrival_s) >= 0.0)
    assert observed.trace(25.0, 3.0).arrival_s.tolist() == [0.0, 1.0, 2.0]
    assert observed.last_s("a") == 24.0


def test_a_model_that_somebody_unloaded_is_not_loaded_for_who_asks() -> None:
    desk = Desk(unloaded=frozenset("b"))
    assert desk.models.asked("b") is None
    assert desk.fleet.wanted == []


def test_nobody_waits_for_a_model_whose_load_was_given_up_and_it_is_tried_again_after_its_time() -> None:
    desk = Desk()
    assert desk.models.asked("b") == 7.0
    desk.fleet.given_up.add("b")
    desk.now_s = 50.0
    assert desk.models.asked("b") is None
    desk.now_s = 100.0
    desk.models.sweep()
    assert desk.fleet.desired == PLANNED
    assert desk.models.asked("b") == 7.0, "something else was wanted: it is tried again"
