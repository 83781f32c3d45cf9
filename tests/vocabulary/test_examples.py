"""The examples of deploy/ are valid, and what they estimate is what their formula says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vocabulary import generating_profile
from tests.vocabulary.a100_profiles import FOLDER, SIZES, estimated
from vocabulary.formats import disk
from vocabulary.formats.schema import KINDS, schema

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.glob("*/deployment.yaml")), ids=lambda path: path.parent.name
)
def test_an_example_is_valid_and_uses_nothing_of_later_versions(path):
    deployment = disk.load_deployment(path, needs_profiles=False)
    assert deployment.accepted_only == ()
    assert all(not model.slo.is_empty and model.workload for model in deployment.models)


def test_a100x16_can_be_planned_as_it_is():
    deployment = disk.load_deployment(EXAMPLES / "a100x16" / "deployment.yaml")
    assert len(deployment.models) == 24
    assert deployment.cluster.num_devices == 16
    assert deployment.warnings == ()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_estimated_profiles_follow_their_formula(size):
    assert disk.load_profile(FOLDER / f"{size.name}.json") == estimated(size)


def test_the_estimated_profile_of_a_generating_model_follows_its_formula():
    assert disk.load_profile(generating_profile.PATH) == generating_profile.estimated()


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_plain_json_that_knows_the_keys(kind):
    text = json.dumps(schema(kind), allow_nan=False)
    expected = {
        "deployment": "latency_ms",
        "profile": "stage_latency_s",
        "plan": "pipeline",
        "trace": "timestamp_s",
    }
    assert f'"{expected[kind]}"' in text
    assert schema(kind)["$schema"].startswith("https://json-schema.org/")


def test_the_complete_deployment_matches_its_schema():
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    from vocabulary.formats.yaml_text import read_yaml

    def document(path: Path) -> object:
        return read_yaml(path.read_text(), name=path.name, substitute=lambda text: "f").value

    validator.check_schema(schema("deployment"))
    check = validator(schema("deployment"))
    for path in [Path(__file__).parent / "complete.yaml", *EXAMPLES.glob("*/deployment.yaml")]:
        assert [error.message for error in check.iter_errors(document(path))] == [], path
    assert not check.is_valid({"models": [{"name": "a", "sourc": "x"}]})
    profile = json.loads((FOLDER / "gpt-13b.json").read_text())
    assert validator(schema("profile")).is_valid(profile)
