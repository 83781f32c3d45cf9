"""The reference: the deployment's own policy on equal groups that hold everything."""

from dataclasses import replace

import pytest

from placement.bound.memoryless import without_memory
from simulator.fast_or_events import outcomes_of
from tests.placement import published
from tests.placement.fleets import deployment, model, requests
from tests.simulator.generating_fleets import fleet as generating_fleet
from tests.simulator.generating_fleets import generating, trace_of
from vocabulary.deployment import Policy
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.placement import Group, Placement

MODELS = (model("a", 60, (1, 1), (1, 2)), model("b", 60, (1, 1), (1, 2)))
TRACE = requests({"a": 4.0, "b": 4.0}, duration_s=30.0)


def everywhere(fleet, size: int) -> float:
    devices = [device.id for device in fleet.cluster.devices]
    config = next(c for c in fleet.models[0].profile.entries if c.num_devices == size)
    groups = tuple(
        Group(f"g{first}", tuple(devices[first : first + size]), config, ("a", "b"))
        for first in range(0, len(devices), size)
    )
    return float(outcomes_of(Placement(groups), TRACE, deployment=fleet).good.mean())


@pytest.mark.parametrize("policy", [Policy(), Policy(queue="edf"), Policy(batching="deadline")])
def test_the_reference_is_the_best_of_equal_groups_that_hold_all_models(policy: Policy) -> None:
    fleet = replace(deployment(*MODELS, num_devices=2), policy=policy)
    found = without_memory(fleet, TRACE)
    assert found.is_complete
    assert found.num_layouts == 2
    assert found.attainment == max(everywhere(fleet, 1), everywhere(fleet, 2))


def test_the_layout_is_told_in_words() -> None:
    only_pairs = deployment(*(model(name, 60, (1, 2)) for name in "ab"), num_devices=4)
    assert without_memory(only_pairs, TRACE).layout == "2 x (tensor 1, pipeline 2)"


def test_one_layout_is_looked_at_without_time_and_the_others_are_said_to_be_missing() -> None:
    found = without_memory(deployment(*MODELS, num_devices=2), TRACE, budget_s=0.0)
    assert found.attainment > 0
    assert not found.is_complete


def test_answers_of_tokens_are_simulated_and_have_all_the_memory_that_they_want() -> None:
    chats = (generating("chat", stages=(1,)), generating("poet", stages=(1,)))
    fleet = replace(generating_fleet(*chats), cluster=Cluster((NodeClass("n", 1, "cpu", 2, 401),)))
    trace = trace_of(fleet, ("chat", 0.0, 4, 3), ("poet", 0.5, 8, 2), ("chat", 1.0, 4, 2))
    found = without_memory(fleet, trace)
    assert found.attainment == 1.0
    assert found.is_complete


@published.needed
@pytest.mark.parametrize("name", published.NAMES)
def test_the_published_plans_do_not_reach_the_reference(name: str) -> None:
    found = without_memory(published.deployment(name), published.trace(name, "train"), trim_s=10.0)
    assert max(figure["goodput_train"] for figure in published.figures(name).values()) <= found.attainment
