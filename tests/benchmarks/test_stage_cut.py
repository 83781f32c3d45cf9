"""The figures of the stage cut: what is compared is what the published-like profiles are made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.estimates import SHAPES
from benchmarks.stage_cut import cases, from_roofline, from_table_1, overhead_s, overheads
from placement.costs.parts import cut_parts
from placement.stages import cut_stages, slowest_stage_s
from vocabulary.formats.disk import load_profile
from vocabulary.parallel import ParallelConfig

PROFILES = Path(__file__).parents[3] / "shared" / "data" / "alpaserve" / "profiles"


@pytest.mark.parametrize(("name", "whole_s", "layers"), [("bert-1.3b", 0.151, 24), ("bert-2.6b", 0.238, 32)])
def test_the_costs_of_table_1_cut_into_half_layers_give_the_profiles_slowest_stages(
    name: str, whole_s: float, layers: int
) -> None:
    path = PROFILES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no published profiles at {PROFILES}")
    parts = from_table_1(name, whole_s, layers)
    assert sum(parts.halves_s) == pytest.approx(whole_s)
    transfers_s = [parts.passed_s] * len(parts.halves_s)
    for config, entry in load_profile(path).entries.items():
        if config.tensor == 1:
            cut = cut_stages(parts.halves_s, config.pipeline, transfer_s=transfers_s)
            ours_s = slowest_stage_s(parts.halves_s, cut, transfer_s=transfers_s)
            assert ours_s == pytest.approx(max(entry.stage_latency_s[1]), rel=1e-3)
    assert ParallelConfig(1, 8) in load_profile(path).entries


def test_a_finer_cut_never_has_more_overhead_and_no_overhead_is_below_the_transfers() -> None:
    for case in cases():
        for num_stages in (2, 4, 8):
            uniform, by_layer, by_half = (float(cell) for cell in overheads(case, num_stages)[2:5])
            assert uniform >= by_layer >= by_half >= 0


def test_layers_are_the_sums_of_their_halves() -> None:
    parts = from_roofline("bert", SHAPES["bert-1.3b"])
    assert len(parts.layers_s) == 26 and sum(parts.layers_s) == pytest.approx(sum(parts.halves_s))
    whole = cut_parts(parts.layers_s, 1)
    assert overhead_s(parts.layers_s, whole, parts.passed_s) == pytest.approx(0.0, abs=1e-12)
