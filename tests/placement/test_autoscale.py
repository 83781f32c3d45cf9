"""How many devices a plan uses as traffic comes and goes."""

from __future__ import annotations

from placement.autoscale import Scaler, chosen_devices, needed_devices
from tests.placement.fleets import deployment, model, requests
from tests.placement.test_difference import group
from vocabulary.elasticity import Autoscaling
from vocabulary.placement import Placement

RULES = Autoscaling(True, min_devices=2, max_devices=8, upscale_delay_s=10.0, downscale_delay_s=60.0)


def scaler(in_use: int = 4) -> Scaler:
    return Scaler(RULES, num_devices=16, in_use=in_use)


def test_more_are_used_once_more_were_needed_for_the_whole_delay() -> None:
    machine = scaler()
    for at_s in range(0, 10, 2):
        machine.observe(float(at_s), 6)
        assert machine.decide(float(at_s)) == 4
    machine.observe(10.0, 7)
    assert machine.decide(10.0) == 6  # so many all the time


def test_a_short_burst_changes_nothing() -> None:
    machine = scaler()
    for at_s, needed in enumerate((4, 4, 8, 8, 8, 4, 8, 8, 8, 4, 4, 4)):
        machine.observe(3.0 * at_s, needed)
        assert machine.decide(3.0 * at_s) == 4


def test_fewer_are_used_only_after_a_long_quiet_time_and_as_many_as_it_needed_at_most() -> None:
    machine = scaler()
    for at_s in range(0, 60, 5):
        machine.observe(float(at_s), 3 if at_s == 30 else 2)
        assert machine.decide(float(at_s)) == 4
    machine.observe(60.0, 2)
    assert machine.decide(60.0) == 3
    for at_s in range(65, 95, 5):
        machine.observe(float(at_s), 2)
    assert machine.decide(90.0) == 3  # the 3 of second 30 is a minute ago only now
    machine.observe(95.0, 2)
    assert machine.decide(95.0) == 2


def test_bounds_hold_whatever_is_needed() -> None:
    machine = scaler()
    for at_s in range(0, 200, 5):
        machine.observe(float(at_s), 100)
    assert machine.decide(195.0) == 8
    for at_s in range(200, 400, 5):
        machine.observe(float(at_s), 0)
    assert machine.decide(395.0) == 2
    few = Scaler(RULES, num_devices=1, in_use=1)
    few.observe(0.0, 5)
    few.observe(10.0, 5)
    assert few.decide(10.0) == 1


def test_light_traffic_needs_few_devices_and_too_much_needs_all() -> None:
    fleet = deployment(model("a", 30), num_devices=4)
    assert needed_devices(fleet, requests({"a": 0.5}), budget_s=2.0) == 1
    assert needed_devices(fleet, requests({"a": 100.0}), budget_s=2.0) == 4


def test_devices_of_the_busiest_groups_are_kept_and_groups_stay_whole() -> None:
    fleet = deployment(model("a", 30), num_hosts=2, num_devices=2)
    current = Placement((group("g0", "0.0", "a"), group("g1", "1.0 1.1", "a", pipeline=2)))
    found = chosen_devices(fleet, current, 2, load={"g0": 1.0, "g1": 9.0})
    assert found.devices == ("n-1:0", "n-1:1")
    assert {device.id for device in found.deployment.cluster.free_devices} == set(found.devices)
    assert chosen_devices(fleet, current, 3, load={"g0": 1.0, "g1": 9.0}).devices == (
        "n-0:0",
        "n-1:0",
        "n-1:1",
    )
    assert chosen_devices(fleet, current, 1, load={"g0": 1.0, "g1": 9.0}).devices == ("n-0:0",)
    assert len(chosen_devices(fleet, Placement(()), 3).devices) == 3
