"""What opens, and opens again, of models that generate."""

from __future__ import annotations

from dataclasses import replace

from scheduling.cluster import ClusterScheduler
from tests.simulator.generating_fleets import fleet, generating, groups
from vocabulary.messages import Arrived, ClusterEvent, Forward, GroupLost, GroupOpened, ReplicaOpened, Reply
from vocabulary.page_budget import generation_limits
from vocabulary.request import Fate, Request

DEPLOYMENT = fleet(generating())
PLACEMENT = groups("chat")
LIMITS = generation_limits(PLACEMENT.groups[0], DEPLOYMENT)
ASKED = Request(0, "chat", 0.0, input_tokens=4, output_tokens=3)


def after(*events: ClusterEvent) -> list:
    machine = ClusterScheduler(
        PLACEMENT, catalog=DEPLOYMENT.catalog(), policy=DEPLOYMENT.policy, limits=[LIMITS]
    )
    for event in events:
        machine.observe(event)
    return machine.decide(0.0)


def test_a_model_that_opens_again_generates_as_before() -> None:
    lost_and_back = GroupLost(0), GroupOpened(0), ReplicaOpened(0, "chat")
    assert isinstance(after(GroupOpened(0), *lost_and_back, Arrived(ASKED))[0], Forward)


def test_a_model_that_opens_with_other_limits_has_those() -> None:
    none_fits = replace(LIMITS["chat"], num_pages=1)
    opened = GroupOpened(0), ReplicaOpened(0, "chat", none_fits)
    assert after(*opened, Arrived(ASKED)) == [Reply(0, Fate.INVALID)]
