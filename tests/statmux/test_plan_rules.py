"""Rules and objectives of a deployment, from its file to the plan and back."""

import pytest

from tests.statmux.plan_files import Desk, desk
from vocabulary.formats.disk import load_deployment, load_plan

__all__ = ["desk"]

RULES = "placement: {constraints: {separate: [[a, b]], pin: {b: ['n-0:1']}, reserved: ['n-0:2', 'n-1']}}\n"


@pytest.fixture
def ruled(desk: Desk) -> Desk:
    text = (desk.folder / "deployment.yaml").read_text()
    text = text.replace("count: 1, devices: {type: cpu, count: 2", "count: 2, devices: {type: cpu, count: 3")
    desk.write("deployment.yaml", text + RULES)
    return desk


def test_a_plan_keeps_the_rules_of_its_file(ruled: Desk):
    result = ruled.statmux("plan", "deployment.yaml", "--trace", "trace.csv", "--out", "plan.yaml")
    assert result.code == 0, result.err
    placement = load_plan("plan.yaml", deployment=load_deployment("deployment.yaml")).placement
    devices = {
        model: [group.devices for group in placement.groups if model in group.models] for model in "ab"
    }
    assert devices == {"a": [("n-0:0",)], "b": [("n-0:1",)]}
    assert ruled.statmux("validate", "deployment.yaml", "--plan", "plan.yaml", "--strict").code == 0


def test_a_plan_by_hand_that_breaks_rules_is_warned_of(ruled: Desk):
    ruled.write("plan.yaml", "groups: [{id: g0, devices: ['n-0:2'], models: [b]}]\n")
    result = ruled.statmux("validate", "deployment.yaml", "--plan", "plan.yaml")
    assert result.code == 0
    assert "the plan breaks a rule: pin: g0 with b uses n-0:2" in result.err
    assert "the plan breaks a rule: reserved: g0 uses n-0:2" in result.err
    assert ruled.statmux("validate", "deployment.yaml", "--plan", "plan.yaml", "--strict").code == 2


def test_the_fewest_devices_are_asked_for_in_the_file_or_on_the_command_line(ruled: Desk):
    words = ("plan", "deployment.yaml", "--trace", "trace.csv", "-o", "json")
    result = ruled.statmux(
        *words, "--set", "placement.objective=min_devices", "--set", "placement.constraints={}"
    )
    assert result.code == 0, result.err
    assert result.document["minimised"]["value"] == result.document["num_devices"]
    again = ruled.statmux(*words, "--objective", "min_devices", "--set", "placement.constraints={}")
    assert again.document["minimised"]["value"] == result.document["minimised"]["value"]


def test_rules_that_leave_no_place_for_a_required_model_are_infeasible(ruled: Desk):
    rules = ("--set", "placement.constraints.pin={a: ['n-0:1'], b: ['n-0:1']}")
    replicas = ("--set", "models.a.replicas.min=1", "--set", "models.b.replicas.min=1")
    result = ruled.statmux("plan", "deployment.yaml", "--trace", "trace.csv", *rules, *replicas)
    assert result.code == 3
    assert "replicas.min cannot be met together" in result.err
    assert "holds them under placement.constraints" in result.err
    assert "loosen a rule" in result.err
