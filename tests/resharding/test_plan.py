import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resharding.boxes import Box, box_of, intersect, subtract
from resharding.plan import Copy, plan_copies
from resharding.reference import perform, scatter
from tests.resharding.strategies import SHAPES, shardings
from vocabulary.sharding import Sharding

SPLIT = Sharding((("x", 2),), (("x",), ()))
WHOLE = Sharding((("x", 2),), ((), ()))


def boxes(sharding: Sharding, shape: tuple[int, ...], *, first_device: int = 0) -> dict[int, Box]:
    return {
        first_device + index: box_of(slices, shape) for index, slices in sharding.index_map(shape).items()
    }


@given(st.data(), SHAPES, st.integers(0, 30))
def test_a_plan_gives_every_target_tile_exactly_once(data, shape, first_target_device):
    source = boxes(data.draw(shardings(num_dims=len(shape))), shape)
    target = boxes(data.draw(shardings(num_dims=len(shape))), shape, first_device=first_target_device)
    array = np.arange(np.prod(shape)).reshape(shape)
    got = perform(plan_copies(source, target), scatter(array, source), source=source, target=target)
    want = scatter(array, target)
    assert got.keys() == want.keys()
    for device, tile in want.items():
        np.testing.assert_array_equal(got[device], tile)


@given(st.data(), SHAPES)
def test_a_device_keeps_what_it_already_holds(data, shape):
    source = boxes(data.draw(shardings(num_dims=len(shape))), shape)
    target = boxes(data.draw(shardings(num_dims=len(shape))), shape)
    plan = plan_copies(source, target)
    for device, box in target.items():
        kept = sum(copy.box.volume for copy in plan if copy.source == copy.target == device)
        assert kept == (intersect(box, source[device]).volume if device in source else 0)


def test_replicas_share_the_sending():
    plan = plan_copies(boxes(WHOLE, (4, 4)), boxes(WHOLE, (4, 4), first_device=2))
    assert plan == (Copy(0, 2, Box((0, 0), (4, 4))), Copy(1, 3, Box((0, 0), (4, 4))))


def test_a_split_array_becomes_whole_from_its_parts():
    plan = plan_copies(boxes(SPLIT, (4, 2)), {5: Box((0, 0), (4, 2))})
    assert plan == (Copy(0, 5, Box((0, 0), (2, 2))), Copy(1, 5, Box((2, 0), (4, 2))))


def test_a_target_that_no_source_covers_is_a_bug_with_the_missing_box():
    with pytest.raises(AssertionError, match=r"no source holds .*start=\(2,\)"):
        plan_copies({0: Box((0,), (2,))}, {1: Box((0,), (3,))})


@given(st.data(), SHAPES)
def test_a_box_without_a_hole_is_disjoint_pieces_of_the_right_volume(data, shape):
    def draw_box() -> Box:
        bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
        return Box(tuple(low for low, _ in bounds), tuple(high for _, high in bounds))

    box, hole = draw_box(), draw_box()
    count = np.zeros(shape, np.int64)
    for piece in subtract(box, hole):
        count[piece.slices()] += 1
    count[intersect(box, hole).slices()] += 1
    want = np.zeros(shape, np.int64)
    want[box.slices()] = 1
    np.testing.assert_array_equal(count, want)


def test_a_ragged_dimension_has_short_and_empty_tiles():
    sharding = Sharding((("x", 4),), (("x",),))
    assert [box.shape for box in boxes(sharding, (5,)).values()] == [(2,), (2,), (1,), (0,)]


def test_axes_of_one_dimension_split_it_major_first():
    sharding = Sharding((("x", 2), ("y", 2)), (("y", "x"),))
    starts = [slices[0].start for slices in sharding.index_map((8,)).values()]
    assert starts == [0, 4, 2, 6]
