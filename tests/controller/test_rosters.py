"""What front ends are told of the groups that open."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from controller.life.members import Members
from controller.life.rosters import Rosters
from tests.controller.test_generation_is_served import fleet
from vocabulary.deployment import Policy
from vocabulary.page_budget import generation_limits


class Recording:
    """Keeps the limits that it is told with each replica."""

    def __init__(self) -> None:
        self.limits: dict[str, object] = {}

    def open_group(self, *told: object) -> None:
        return

    def open_replica(self, group_index: int, model: str, interface: object, limits: object) -> None:
        self.limits[model] = limits


def test_a_group_that_opens_again_has_the_limits_of_now() -> None:
    deployment, placement = fleet(np.random.default_rng(0), policy=Policy())
    (member, _), roster = Members(placement), Recording()
    member.started, member.link = SimpleNamespace(interfaces={"a": None, "b": None}), SimpleNamespace()
    Rosters([roster]).open(member, ["a", "b"], deployment=deployment)
    assert roster.limits == dict(generation_limits(member.group, deployment))
    assert set(roster.limits) == {"a", "b"}
