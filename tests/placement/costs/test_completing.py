"""Completed profiles: measured entries stay, estimated ones are scaled to them and say so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.costs.completing import completed, measured_part
from placement.costs.devices import device_type
from placement.costs.estimate import Workload, estimated_profile
from tests.placement.costs.shapes import gpt
from vocabulary.formats.profile import format_profile, parse_profile
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, Provenance

CONFIGS = [ParallelConfig(tensor, pipeline) for tensor in (1, 2, 4) for pipeline in (1, 2, 4)]
ESTIMATES = estimated_profile(
    "chat", gpt(8, 512, 8), device_type("v100-16g"), configs=CONFIGS, batch_sizes=[1, 8],
    workload=Workload(256, "float16"),
)  # fmt: skip


def measured(factors: dict[ParallelConfig, float], *, sizes: tuple[int, ...] = (1, 8)) -> Profile:
    """As the estimates, each configuration slower by its factor."""
    entries = {
        config: replace(
            ESTIMATES.entries[config],
            is_estimated=False,
            stage_latency_s={
                size: tuple(factor * one for one in ESTIMATES.entries[config].stage_latency_s[size])
                for size in sizes
            },
        )
        for config, factor in factors.items()
    }
    return replace(ESTIMATES, entries=entries, provenance=Provenance("measured", "by hand"))


def ratio(profile: Profile, config: ParallelConfig, size: int = 1) -> float:
    found, estimated = (one.entries[config].stage_latency_s[size] for one in (profile, ESTIMATES))
    return sum(found) / sum(estimated)


@given(st.dictionaries(st.sampled_from(CONFIGS), st.floats(0.2, 5.0), min_size=1))
def test_measured_entries_stay_and_all_others_lie_between_the_measured_ratios(
    factors: dict[ParallelConfig, float],
) -> None:
    known = measured(factors)
    profile = completed(known, ESTIMATES)
    assert set(profile.entries) == set(CONFIGS)
    for config in CONFIGS:
        assert profile.is_estimated(config) == (config not in factors)
        if config in factors:
            assert profile.entries[config] == known.entries[config]
        else:
            low, high = min(factors.values()), max(factors.values())
            assert 0.999 * low <= ratio(profile, config) <= 1.001 * high


def test_an_engine_that_is_slower_everywhere_makes_every_estimate_slower_alike() -> None:
    profile = completed(measured({CONFIGS[0]: 3.0, CONFIGS[-1]: 3.0}), ESTIMATES)
    assert [ratio(profile, config, 8) for config in CONFIGS] == pytest.approx([3.0] * len(CONFIGS))


def test_the_nearest_measured_configuration_weighs_most() -> None:
    one, two, four = (ParallelConfig(tensor, 1) for tensor in (1, 2, 4))
    profile = completed(measured({one: 1.0, four: 4.0}), ESTIMATES)
    assert ratio(profile, two) == pytest.approx(2.0)
    assert ratio(profile, ParallelConfig(4, 2)) > ratio(profile, ParallelConfig(2, 2)) > 1.2


def test_a_batch_size_that_was_not_measured_is_scaled_as_the_nearest_one() -> None:
    profile = completed(measured({CONFIGS[0]: 2.0}, sizes=(1,)), ESTIMATES)
    assert ratio(profile, CONFIGS[1], 8) == pytest.approx(2.0)


def test_a_completed_profile_says_how_much_of_it_was_measured_and_survives_its_file() -> None:
    profile = completed(measured({CONFIGS[0]: 2.0}), ESTIMATES)
    assert profile.provenance.kind == "measured"
    assert profile.provenance.note == "by hand; 8 of 9 configurations estimated, scaled to the others"
    assert parse_profile(format_profile(profile), name="chat.json") == profile


def test_completing_again_starts_from_what_was_measured() -> None:
    known = measured({CONFIGS[0]: 2.0})
    once = completed(known, ESTIMATES)
    assert measured_part(once) == known
    assert completed(measured_part(once), ESTIMATES) == once
    assert not measured_part(ESTIMATES).entries
