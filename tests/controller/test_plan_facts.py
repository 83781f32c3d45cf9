"""What metrics and status say of the plan is of what is placed now."""

from __future__ import annotations

from controller.plan_facts import CHANGED, plan_facts
from vocabulary.placement import Group, ParallelConfig, Placement
from vocabulary.plan import Plan

ONE, OTHER = (Group(name, (f"n-0:{name}",), ParallelConfig(1, 1), ("a",)) for name in "01")
PLAN = Plan(
    placement=Placement((ONE,)),
    search={"algorithm": "auto"},
    predicted={"models": {"a": {"slo_attainment": 0.99}, "b": {}}},
)


def test_what_was_planned_has_the_name_of_the_search_and_its_promises() -> None:
    facts = plan_facts(PLAN, Placement((ONE,)))
    assert (facts.algorithm, facts.predicted) == ("auto", {"a": 0.99})


def test_of_a_changed_placement_nothing_is_promised() -> None:
    facts = plan_facts(PLAN, Placement((ONE, OTHER)))
    assert (facts.algorithm, facts.predicted) == (CHANGED, {})
    assert facts.id != plan_facts(PLAN, PLAN.placement).id
    assert facts == plan_facts(PLAN, Placement((ONE, OTHER)))
