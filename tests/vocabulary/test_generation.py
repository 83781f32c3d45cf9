"""Nouns of generation: step times, what can ever run, and the pages that a group has for each model."""

from __future__ import annotations

import pytest

from vocabulary.deployment import Deployment, ModelSpec, Slo
from vocabulary.errors import Infeasible, InvalidInput
from vocabulary.generation import GenerationLimits, GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.page_budget import generation_limits
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import Profile, ProfileEntry

TWO_STAGES = ParallelConfig(1, 2)
TIMES = StepTimes(0.01, 0.001, 0.0001)


def test_a_step_costs_its_constant_its_tokens_and_what_they_look_back_on() -> None:
    assert TIMES.of(10, 100) == pytest.approx(0.01 + 0.01 + 0.01)


def test_the_last_token_of_an_answer_takes_no_place() -> None:
    limits = GenerationLimits(num_pages=2, page_tokens=4)
    assert limits.can_ever_run(7, 2)
    assert not limits.can_ever_run(7, 3)
    assert limits.can_ever_run(8, 0)


def profile(*, kv_bytes_per_token: tuple[int, ...] = (2, 4), generates: bool = True) -> Profile:
    times = (TIMES, TIMES) if generates else ()
    entry = ProfileEntry(TWO_STAGES, (100, 200), {}, {1: (0.1, 0.1)}, times, kv_bytes_per_token)
    return Profile("m", "cpu", {TWO_STAGES: entry})


def pages(*models: ModelSpec, memory_bytes: int = 1000, reserve: float = 0.0) -> dict[str, int]:
    cluster = Cluster((NodeClass("n", 1, "cpu", 2, memory_bytes),), reserve)
    deployment = Deployment("fleet", cluster, models)
    group = Group("g0", ("n-0:0", "n-0:1"), TWO_STAGES, deployment.model_names)
    return {name: limits.num_pages for name, limits in generation_limits(group, deployment).items()}


def generating(name: str, **settings) -> ModelSpec:
    return ModelSpec(name, profile=profile(), generation=GenerationSettings(page_tokens=5, **settings))


def test_a_model_alone_has_all_that_weights_leave_on_the_tightest_stage() -> None:
    # Stage 0 has 900 bytes for pages of 10, stage 1 has 800 for pages of 20.
    assert pages(generating("a")) == {"a": 40}
    assert pages(generating("a"), reserve=0.5) == {"a": 15}


def test_weights_of_models_that_do_not_generate_count_as_well() -> None:
    one_shot = ModelSpec("b", profile=profile(generates=False))
    assert pages(generating("a"), one_shot) == {"a": 30}


def test_models_share_equally_what_those_with_a_fraction_leave() -> None:
    # The weights leave 400 bytes on stage 1.
    models = (generating("a"), generating("b", memory_fraction=0.5), generating("c"))
    assert pages(*models) == {"a": 5, "b": 10, "c": 5}


def test_a_told_number_of_pages_is_taken_off_first() -> None:
    assert pages(generating("a", num_pages=10), generating("b")) == {"a": 10, "b": 20}


def test_caches_that_do_not_fit_are_refused_with_the_numbers() -> None:
    with pytest.raises(Infeasible, match="weights leave 0 B"):
        pages(generating("a"), memory_bytes=200)
    with pytest.raises(Infeasible, match=r"caches of stage 0 take .* a device, and weights leave 900 B"):
        pages(generating("a", num_pages=100))
    with pytest.raises(InvalidInput, match=r"memory_fraction of a, b add up to 1\.2"):
        pages(generating("a", memory_fraction=0.6), generating("b", memory_fraction=0.6))


def test_a_profile_that_does_not_say_what_a_token_takes_needs_a_told_number() -> None:
    unknown = profile(kv_bytes_per_token=())
    with pytest.raises(InvalidInput, match="no kv_bytes_per_token"):
        pages(ModelSpec("a", profile=unknown))
    assert pages(ModelSpec("a", profile=unknown, generation=GenerationSettings(num_pages=7))) == {"a": 7}


def test_a_group_of_one_shot_models_has_no_limits() -> None:
    assert pages(ModelSpec("a", profile=profile(generates=False))) == {}


def test_every_objective_that_there_is_is_scaled() -> None:
    assert Slo(2.0, 0.9, 1.0, None).scaled(0.5) == Slo(1.0, 0.9, 0.5, None)
    assert Slo().scaled(2.0) == Slo()
