"""What a controller leaves for the one after it."""

from __future__ import annotations

from dataclasses import replace

from controller.journal import NoJournal
from controller.life.past import Past
from tests.controller.ray_fleet import deployment, group
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement

ONE = ParallelConfig(1, 1)
PLACEMENT = Placement((group("g0", ["n-0:0"], ONE, "a"), group("g1", ["n-0:1"], ONE, "ab")))


def test_front_ends_have_numbers_that_go_on_where_the_controller_before_ended() -> None:
    journal = NoJournal()
    assert [Past(journal).next_front() for _ in range(3)] == [0, 1, 2]


def test_what_was_wanted_last_is_there_while_the_cluster_is_not_ended() -> None:
    past = Past(NoJournal())
    past.remember_plan(PLACEMENT)
    assert past.plan(deployment()) is None, "nothing was left running"
    past.remember_cluster({"address": "here"})
    assert past.plan(deployment()).placement == PLACEMENT
    past.forget()
    assert (past.cluster, past.plan(deployment())) == (None, None)


def test_a_plan_for_another_deployment_is_no_plan() -> None:
    past = Past(NoJournal())
    past.remember_cluster({"address": "here"})
    past.remember_plan(PLACEMENT)
    fewer = deployment()
    assert past.plan(replace(fewer, models=fewer.models[:1])) is None
