"""Waiting for a Ray that others start: what is missing is named, and time that is up is told."""

from __future__ import annotations

import pytest

from controller.on_ray.awaiting import await_hosts, missing_hosts
from controller.on_ray.hosts import DEVICE_RESOURCE, HOST_LABEL
from controller.on_ray.nouns import RayNode
from tests.controller.ray_fleet import deployment
from vocabulary.errors import TimedOut

# Nobody listens there.
NOWHERE = "127.0.0.1:1"


def node(number: int, *, num_devices: int = 4, host: str = "") -> RayNode:
    labels = {HOST_LABEL: host} if host else {}
    return RayNode(f"id{number}", f"10.0.0.{number}", {DEVICE_RESOURCE: num_devices}, labels)


def test_hosts_without_a_node_are_missing_in_their_order():
    assert missing_hosts(deployment(), ()) == ("n-0", "n-1")
    assert missing_hosts(deployment(), [node(1, host="n-1")]) == ("n-0",)
    assert missing_hosts(deployment(), [node(1), node(2)]) == ()


def test_a_node_that_offers_too_little_is_no_host():
    assert missing_hosts(deployment(), [node(1), node(2, num_devices=1)]) == ("n-1",)


def test_a_ray_that_does_not_come_is_told_when_the_time_is_up():
    said: list[str] = []
    with pytest.raises(TimedOut, match=f"no Ray at {NOWHERE} within 0 s") as caught:
        await_hosts(deployment(ray_address=NOWHERE), timeout_s=0.0, progress=said.append)
    assert caught.value.hint
    assert said == [f"waiting for the Ray at {NOWHERE}"]


def test_a_ray_of_the_fleets_own_is_not_waited_for():
    await_hosts(deployment(), timeout_s=0.0, progress=pytest.fail)
