"""Costs: profiles under a latency model."""

from __future__ import annotations

import numpy as np

from vocabulary.catalog import BatchCosts, Catalog, LatencyModel
from vocabulary.deployment import ModelSpec, Slo
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.units import NEVER_S

ONE, TWO = ParallelConfig(1, 1), ParallelConfig(1, 2)
ENTRIES = (
    ProfileEntry(ONE, (4,), {}, {4: (0.3,), 1: (0.1,), 2: (0.17,)}),
    ProfileEntry(TWO, (2, 2), {}, {1: (0.06, 0.07)}),
)
PROFILE = profile_of("a", "cpu", ENTRIES, provenance=Provenance())
ARTIFACT = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)


def test_without_a_latency_model_costs_are_the_profile() -> None:
    costs = Catalog({"a": PROFILE}).costs("a", ONE)
    assert costs == BatchCosts((1, 2, 4), ((0.1,), (0.17,), (0.3,)))
    assert costs.single == (0.1,)
    assert costs.max_batch_size == 4


def test_a_size_between_two_profiled_ones_costs_the_larger() -> None:
    costs = Catalog({"a": PROFILE}).costs("a", ONE)
    assert [costs.of(size) for size in (1, 2, 3, 4)] == [(0.1,), (0.17,), (0.3,), (0.3,)]


def test_the_artifact_scales_every_stage_by_their_number_in_single_precision() -> None:
    costs = Catalog({"a": PROFILE}, ARTIFACT).costs("a", TWO)
    scale = 1.0 + 0.009 * 2
    assert costs.single == (float(np.float32(0.06 * scale)), float(np.float32(0.07 * scale)))


def test_either_term_alone_rounds_to_single_precision() -> None:
    assert LatencyModel(0.01, 0.0).rounded_s(0.1) == LatencyModel(0.0, 0.01).rounded_s(0.1) == np.float32(0.1)
    assert LatencyModel().rounded_s(0.1) == 0.1


def test_the_objective_is_rounded_as_latencies_are() -> None:
    model = ModelSpec("a", profile=PROFILE, slo=Slo(1.19))
    assert model.slo_s(LatencyModel()) == 1.19
    assert model.slo_s(ARTIFACT) == float(np.float32(1.19)) != 1.19
    assert ModelSpec("a", profile=PROFILE).slo_s(ARTIFACT) == NEVER_S


def test_a_catalog_supports_what_the_profile_has() -> None:
    catalog = Catalog({"a": PROFILE})
    assert catalog.supports("a", TWO)
    assert not catalog.supports("a", ParallelConfig(2, 1))
    assert catalog.entry("a", TWO) is ENTRIES[1]


def test_costs_are_worked_out_once() -> None:
    catalog = Catalog({"a": PROFILE}, ARTIFACT)
    assert catalog.costs("a", ONE) is catalog.costs("a", ONE)


def test_the_single_device_latency_is_that_of_the_fewest_devices() -> None:
    assert PROFILE.single_device_latency_s() == 0.1
    only_two = profile_of("a", "cpu", ENTRIES[1:], provenance=Provenance())
    assert only_two.single_device_latency_s() == 0.06 + 0.07
