import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.costs.parts import cut_parts, layer_counts, layers_of, ranges_of
from placement.stages import cut_stages, slowest_stage_s
from vocabulary.errors import Infeasible

PARTS = st.lists(st.integers(1, 40).map(lambda n: n / 8), min_size=3, max_size=10)


@given(PARTS, st.data())
def test_every_layer_is_in_one_stage_and_counts_bring_the_cut_back(
    part_s: list[float], data: st.DataObject
) -> None:
    num_layers = len(part_s) - 2
    stages = cut_parts(part_s, data.draw(st.integers(1, num_layers)))
    layers = layers_of(stages)
    assert [layer for stage in layers for layer in stage] == list(range(num_layers))
    assert ranges_of(layer_counts(stages)) == layers


@given(PARTS, st.data())
def test_ends_that_may_stand_alone_never_make_the_slowest_stage_slower(
    part_s: list[float], data: st.DataObject
) -> None:
    num_stages = data.draw(st.integers(1, len(part_s) - 2))
    free_s = slowest_stage_s(part_s, cut_parts(part_s, num_stages))
    with_ends = [part_s[0] + part_s[1], *part_s[2:-2], part_s[-2] + part_s[-1]]
    if len(part_s) == 3:
        with_ends = [sum(part_s)]
    assert free_s <= slowest_stage_s(with_ends, cut_stages(with_ends, num_stages))


def test_a_head_that_outweighs_the_layers_has_a_stage_for_itself() -> None:
    stages = cut_parts([1, 2, 2, 2, 20], 2)
    assert layer_counts(stages) == (3, 0)


def test_a_pipeline_has_no_more_stages_than_layers() -> None:
    with pytest.raises(Infeasible, match="2 layers cannot be cut into 3 stages"):
        cut_parts([1, 1, 1, 1], 3)
