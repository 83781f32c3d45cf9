"""`serving.front_ends` in a deployment file."""

from __future__ import annotations

import pytest

from tests.live.fleet_files import write_small_fleet
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import load_deployment


def loaded(folder, *overrides: str) -> Deployment:
    return load_deployment(write_small_fleet(folder) / "deployment.yaml", overrides=overrides)


def test_there_is_one_front_end_unless_more_are_asked_for(tmp_path) -> None:
    assert loaded(tmp_path).front_ends == 1
    assert loaded(tmp_path, "serving.front_ends=3").front_ends == 3


@pytest.mark.parametrize("number", [0, 65])
def test_none_is_too_few_and_more_than_64_are_too_many(tmp_path, number: int) -> None:
    with pytest.raises(InvalidInput, match="front_ends"):
        loaded(tmp_path, f"serving.front_ends={number}")


def test_many_that_look_for_the_best_of_all_are_warned_of_the_herd(tmp_path) -> None:
    router = "serving.policy.router={}".format
    many = "serving.front_ends=4"
    assert any("power_of_two" in words for words in loaded(tmp_path, many).warnings)
    for calm in ((many, router("power_of_two")), (many, router("round_robin")), ("serving.front_ends=2",)):
        assert not any("front ends" in words for words in loaded(tmp_path, *calm).warnings)
