"""A profile as it was observed."""

from __future__ import annotations

import pytest

from vocabulary.correction import Correction, corrected
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of

ONE, TWO, FOUR = (ParallelConfig(1, stages) for stages in (1, 2, 4))


def test_every_size_of_an_observed_configuration_is_multiplied_and_the_others_by_the_median() -> None:
    entries = [
        ProfileEntry(config, (8,) * config.pipeline, {1: (2,) * config.pipeline}, {
            1: (1.0,) * config.pipeline, 2: (2.0,) * config.pipeline,
        })
        for config in (ONE, TWO, FOUR)
    ]  # fmt: skip
    profile = profile_of(
        "a", "cpu", entries, provenance=Provenance("measured", "by hand"), sequence_length=64
    )
    found = corrected(profile, {ONE: Correction(1.2, 10), TWO: Correction(1.0, 30)}, source="tiny (run)")
    assert found.entries[ONE].stage_latency_s == {1: (1.2,), 2: (2.4,)}
    assert found.entries[TWO] == profile.entries[TWO]
    assert found.entries[FOUR].stage_latency_s[2] == pytest.approx((2.2,) * 4)
    assert found.entries[FOUR].weight_bytes == (8,) * 4
    assert found.provenance.kind == "measured"
    assert found.provenance.note == "by hand; stages corrected by 1.1000 from 40 batches of tiny (run)"
    assert found.sequence_length == 64
