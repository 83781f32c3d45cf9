from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.stages import cut_stages
from vocabulary.errors import Infeasible

# Eighths add up exactly, so that costs can be compared for equality.
LAYERS = st.lists(st.integers(1, 40).map(lambda n: n / 8), min_size=1, max_size=9)


def slowest(layer_s: list[float], stages: tuple[range, ...]) -> float:
    return max(sum(layer_s[layer] for layer in stage) for stage in stages)


@given(LAYERS, st.data())
def test_no_other_cut_has_a_quicker_slowest_stage(layer_s: list[float], data: st.DataObject) -> None:
    num_stages = data.draw(st.integers(1, len(layer_s)))
    stages = cut_stages(layer_s, num_stages)
    every_cut = (
        tuple(range(first, end) for first, end in pairwise((0, *cuts, len(layer_s))))
        for cuts in combinations(range(1, len(layer_s)), num_stages - 1)
    )
    assert slowest(layer_s, stages) == min(slowest(layer_s, cut) for cut in every_cut)


@given(LAYERS, st.data())
def test_stages_cover_all_layers_in_order_and_none_is_empty(
    layer_s: list[float], data: st.DataObject
) -> None:
    stages = cut_stages(layer_s, data.draw(st.integers(1, len(layer_s))))
    assert [layer for stage in stages for layer in stage] == list(range(len(layer_s)))
    assert all(len(stage) for stage in stages)


def test_a_heavy_layer_gets_a_stage_of_its_own() -> None:
    assert cut_stages([1, 1, 1, 9], 2) == (range(0, 3), range(3, 4))


def test_more_stages_than_layers_is_an_error_with_the_numbers() -> None:
    with pytest.raises(Infeasible, match="2 layers cannot be cut into 3 stages"):
        cut_stages([1.0, 1.0], 3)
