from collections.abc import Iterator
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.stages import StageMemory, cut_stages, even_stages, slowest_stage_s
from vocabulary.errors import Infeasible

# Eighths add up exactly, so that costs can be compared for equality.
EIGHTHS = st.integers(0, 40).map(lambda n: n / 8)
LAYERS = st.lists(st.integers(1, 40).map(lambda n: n / 8), min_size=1, max_size=9)


def every_cut(num_layers: int, num_stages: int) -> Iterator[tuple[range, ...]]:
    for cuts in combinations(range(1, num_layers), num_stages - 1):
        yield tuple(range(first, end) for first, end in pairwise((0, *cuts, num_layers)))


def slowest(layer_s: list[float], stages: tuple[range, ...]) -> float:
    return max(sum(layer_s[layer] for layer in stage) for stage in stages)


def slowest_with_transfers(
    layer_s: list[float], stages: tuple[range, ...], transfer_s: list[float], *, is_overlapped: bool
) -> float:
    """The definition, spelled out for one cut."""
    costs_s = []
    for number, stage in enumerate(stages):
        computed_s = sum(layer_s[layer] for layer in stage)
        sent_s = transfer_s[stage[-1]] if number + 1 < len(stages) else 0.0
        costs_s.append(max(computed_s, sent_s) if is_overlapped else computed_s + sent_s)
    return max(costs_s)


@given(LAYERS, st.data())
def test_no_other_cut_has_a_quicker_slowest_stage(layer_s: list[float], data: st.DataObject) -> None:
    num_stages = data.draw(st.integers(1, len(layer_s)))
    stages = cut_stages(layer_s, num_stages)
    cuts = every_cut(len(layer_s), num_stages)
    assert slowest(layer_s, stages) == min(slowest(layer_s, cut) for cut in cuts)
    assert slowest_stage_s(layer_s, stages) == slowest(layer_s, stages)


@given(LAYERS, st.booleans(), st.data())
def test_no_other_cut_is_quicker_when_outputs_take_time_to_pass_on(
    layer_s: list[float], is_overlapped: bool, data: st.DataObject
) -> None:
    num_stages = data.draw(st.integers(1, len(layer_s)))
    transfer_s = data.draw(st.lists(EIGHTHS, min_size=len(layer_s), max_size=len(layer_s)))
    how = {"transfer_s": transfer_s, "is_overlapped": is_overlapped}
    stages = cut_stages(layer_s, num_stages, **how)
    found_s = slowest_with_transfers(layer_s, stages, transfer_s, is_overlapped=is_overlapped)
    cuts = every_cut(len(layer_s), num_stages)
    best_s = min(
        slowest_with_transfers(layer_s, cut, transfer_s, is_overlapped=is_overlapped) for cut in cuts
    )
    assert found_s == best_s == slowest_stage_s(layer_s, stages, **how)


@given(LAYERS, st.data())
def test_no_other_cut_that_fits_is_quicker_and_none_is_found_only_where_none_fits(
    layer_s: list[float], data: st.DataObject
) -> None:
    num_stages = data.draw(st.integers(1, len(layer_s)))
    sizes = data.draw(st.lists(st.integers(0, 20), min_size=len(layer_s), max_size=len(layer_s)))
    memory = StageMemory(tuple(sizes), data.draw(st.integers(0, 60)))
    fitting = [
        cut
        for cut in every_cut(len(layer_s), num_stages)
        if all(sum(sizes[layer] for layer in stage) <= memory.stage_bytes for stage in cut)
    ]
    if not fitting:
        with pytest.raises(Infeasible, match=f"no cut into {num_stages} stages keeps each within"):
            cut_stages(layer_s, num_stages, memory=memory)
        return
    stages = cut_stages(layer_s, num_stages, memory=memory)
    assert stages in fitting
    assert slowest(layer_s, stages) == min(slowest(layer_s, cut) for cut in fitting)


@given(LAYERS, st.data())
def test_stages_cover_all_layers_in_order_and_none_is_empty(
    layer_s: list[float], data: st.DataObject
) -> None:
    num_stages = data.draw(st.integers(1, len(layer_s)))
    for stages in (cut_stages(layer_s, num_stages), even_stages(len(layer_s), num_stages)):
        assert [layer for stage in stages for layer in stage] == list(range(len(layer_s)))
        assert len(stages) == num_stages and all(len(stage) for stage in stages)


def test_a_heavy_layer_gets_a_stage_of_its_own() -> None:
    assert cut_stages([1, 1, 1, 9], 2) == (range(0, 3), range(3, 4))


def test_a_cut_after_a_large_output_is_avoided_where_that_is_quicker() -> None:
    assert cut_stages([2, 2, 2, 2], 2) == (range(0, 2), range(2, 4))
    assert cut_stages([2, 2, 2, 2], 2, transfer_s=[0, 5, 0, 0]) == (range(0, 1), range(1, 4))


def test_a_transfer_that_overlaps_costs_nothing_until_it_is_longer_than_the_stage() -> None:
    layers, hidden, long = [2, 2, 2, 2], [0, 4, 0, 0], [0, 7, 0, 0]
    assert cut_stages(layers, 2, transfer_s=hidden, is_overlapped=True) == (range(0, 2), range(2, 4))
    assert cut_stages(layers, 2, transfer_s=long, is_overlapped=True) == (range(0, 1), range(1, 4))


def test_of_equally_good_cuts_stages_end_earliest_from_the_last_backwards() -> None:
    # The last layer sets the pace, so the two before it may stand anywhere: they are cut as if alone.
    assert cut_stages([1, 1, 9], 2) == (range(0, 2), range(2, 3))
    assert cut_stages([9, 1, 1], 2) == (range(0, 1), range(1, 3))
    assert cut_stages([1, 1, 1, 1, 9], 3) == (range(0, 2), range(2, 4), range(4, 5))


def test_even_stages_differ_by_one_layer_at_most() -> None:
    assert even_stages(7, 3) == (range(0, 2), range(2, 4), range(4, 7))


def test_more_stages_than_layers_is_an_error_with_the_numbers() -> None:
    for cut in (lambda: cut_stages([1.0, 1.0], 3), lambda: even_stages(2, 3)):
        with pytest.raises(Infeasible, match="2 layers cannot be cut into 3 stages"):
            cut()


def test_memory_that_no_cut_keeps_is_an_error_with_the_numbers() -> None:
    with pytest.raises(Infeasible, match=r"2 stages .* 10 B: all layers take 22 B, the largest 11 B"):
        cut_stages([1, 1, 1], 2, memory=StageMemory((11, 5, 6), 10))
