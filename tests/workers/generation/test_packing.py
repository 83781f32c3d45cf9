"""Steps as arrays: what lies where, and which shape holds it."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.generation import GenerationLimits
from vocabulary.sampling import GREEDY
from workers.generation.host_step import Draw, HostRow, HostStep
from workers.generation.packing import PackedStep, pack_step
from workers.generation.shapes import StepArrays, StepBucket, StepShapes, step_shapes

PAGE_TOKENS = 4
SHAPES = StepShapes(
    buckets=(StepBucket(1, 0), StepBucket(4, 0), StepBucket(4, 1), StepBucket(4, 3)),
    tile_tokens=8,
    num_columns=10,
    num_pages=50,
    page_tokens=PAGE_TOKENS,
)
PADDING = 200


def row(start: int, count: int, *, first_page: int = 0, num_draws: int = 1, first_id: int = 1) -> HostRow:
    """Tokens first_id, first_id + 1, ... on pages first_page, first_page + 1, ..."""
    num_pages = -(-(start + count) // PAGE_TOKENS)
    ids = np.arange(first_id, first_id + count, dtype=np.int32)
    none = np.empty(0, np.int32)
    draws = tuple(Draw(GREEDY, sample, 0, none, none) for sample in range(num_draws))
    return HostRow(ids, start, tuple(range(first_page, first_page + num_pages)), draws)


def packed(*rows: HostRow) -> tuple[PackedStep, StepArrays]:
    (one,) = pack_step(HostStep(rows), SHAPES)
    return one, SHAPES.view(one.bucket, one.integers)


def test_an_answer_is_a_row_of_one_token():
    one, arrays = packed(row(6, 1, first_page=20))
    assert one.bucket == StepBucket(1, 0)
    assert (arrays.ids_T.tolist(), arrays.positions_T.tolist()) == ([1], [6])
    # The third token of its second page.
    assert arrays.slots_T.tolist() == [21 * PAGE_TOKENS + 2]
    assert arrays.lengths_S.tolist() == [7]
    assert arrays.tables_SM[0, :2].tolist() == [20, 21]


def test_what_no_row_fills_is_padding():
    one, arrays = packed(row(0, 1), row(3, 1, first_page=9))
    assert one.bucket == StepBucket(4, 0)
    assert arrays.slots_T.tolist()[2:] == [PADDING] * 2
    assert arrays.lengths_S.tolist() == [1, 4, 0, 0]


def test_a_chunk_is_cut_into_tiles_that_know_where_they_start():
    one, arrays = packed(row(2, 20, first_page=7), row(5, 1, first_page=30))
    assert one.bucket == StepBucket(4, 3)
    assert (arrays.starts_C.tolist(), arrays.counts_C.tolist()) == ([2, 10, 18], [8, 8, 4])
    assert arrays.ids_T.tolist() == [1, 0, 0, 0, *range(1, 21), 0, 0, 0, 0]
    assert arrays.positions_T.tolist()[4:24] == list(range(2, 22))
    assert arrays.slots_T.tolist()[4:] == [*range(7 * 4 + 2, 7 * 4 + 22), *[PADDING] * 4]
    assert arrays.tables_CM[:, :6].tolist() == [[7, 8, 9, 10, 11, 12]] * 3


def test_a_draw_looks_at_the_last_token_of_its_row():
    one, arrays = packed(row(0, 9), row(4, 1, first_page=20), row(0, 3, first_page=30, num_draws=2))
    assert one.bucket == StepBucket(4, 3)
    # Tiles of the first row begin at 4 and 12, that of the third at 20.
    assert arrays.out_R.tolist() == [12, 0, 22, 22]
    assert one.numbers == (0, 1, 2, 3)


def test_a_prompt_that_goes_on_draws_nothing():
    one, _ = packed(row(0, 8, num_draws=0), row(4, 1, first_page=20))
    assert (len(one.draws), one.numbers) == (1, (0,))


def test_the_last_tokens_of_a_chunk_take_free_rows_where_that_saves_a_tile():
    one, arrays = packed(row(0, 10, first_page=5), row(4, 1, first_page=20))
    assert one.bucket == StepBucket(4, 1)
    assert arrays.ids_T.tolist() == [9, 10, 1, 0, *range(1, 9)]
    # Each of them sees what is before it, and itself.
    assert arrays.lengths_S.tolist() == [9, 10, 5, 0]
    assert arrays.tables_SM[:2, :3].tolist() == [[5, 6, 7]] * 2
    assert arrays.out_R.tolist()[:2] == [1, 2]


def test_two_tokens_of_a_sequence_need_no_tile_at_all():
    one, arrays = packed(row(8, 2))
    assert one.bucket == StepBucket(4, 0)
    assert arrays.lengths_S.tolist() == [9, 10, 0, 0]


def test_many_rows_at_once_go_in_parts_and_keep_the_order_of_their_draws():
    rows = tuple(row(0, 5, first_page=3 * index, first_id=10 * index) for index in range(5))
    parts = pack_step(HostStep(rows), SHAPES)
    assert [part.numbers for part in parts] == [(0, 1, 2), (3, 4)]
    firsts = [SHAPES.view(part.bucket, part.integers).ids_T[4] for part in parts]
    assert firsts == [0, 30]


def test_draws_beyond_the_rows_of_any_shape_compute_the_last_token_again():
    parts = pack_step(HostStep((row(0, 6, num_draws=9), row(3, 1, first_page=20))), SHAPES)
    assert [part.numbers for part in parts] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    second = SHAPES.view(parts[1].bucket, parts[1].integers)
    assert (second.ids_T[0], second.positions_T[0], second.lengths_S[0]) == (6, 5, 6)
    assert second.out_R.tolist() == [0, 0, 0, 0]


def test_pages_beyond_the_longest_context_do_not_matter():
    one = row(0, 1)
    _, arrays = packed(HostRow(one.token_ids, 0, tuple(range(30)), one.draws))
    assert arrays.tables_SM[0].tolist() == list(range(10))


def test_the_shapes_of_default_limits_are_few():
    shapes = step_shapes(GenerationLimits(num_pages=1000), max_model_len=4096)
    assert len(shapes.buckets) == 20
    assert [one.num_rows for one in shapes.buckets if not one.num_tiles] == [2**n for n in range(1, 9)]
    assert (shapes.tile_tokens, max(one.num_tiles for one in shapes.buckets)) == (64, 32)
    sizes = [shapes.num_tokens(one) for one in shapes.buckets]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("seed", range(20))
def test_every_step_within_the_limits_is_packed_whole(seed):
    """Each token once, at its slot and its position; each draw once, at the end of its row."""
    chance = np.random.default_rng(seed)
    limits = GenerationLimits(num_pages=400, page_tokens=4, max_batched_tokens=100, max_sequences=9)
    shapes = step_shapes(limits, max_model_len=120)
    counts = chance.multinomial(100 - 9, chance.dirichlet([0.3] * 9)) + 1
    starts = chance.integers(0, 20, 9)
    rows = tuple(
        row(start, count, first_page=40 * index, num_draws=int(chance.integers(0, 3)), first_id=100 * index)
        for index, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True))
    )
    parts = pack_step(HostStep(rows), shapes)
    placed, drawn = [], {}
    for part in parts:
        arrays = shapes.view(part.bucket, part.integers)
        real = arrays.slots_T < shapes.padding_slot
        columns = (arrays.ids_T[real], arrays.positions_T[real], arrays.slots_T[real])
        placed += zip(*(column.tolist() for column in columns), strict=True)
        ends = arrays.ids_T[arrays.out_R[: len(part.numbers)]].tolist()
        drawn |= dict(zip(part.numbers, ends, strict=True))
    wanted = [
        (int(token), one.start + at, one.pages[0] * 4 + one.start + at)
        for one in rows
        for at, token in enumerate(one.token_ids)
    ]
    assert sorted(placed) == sorted(wanted)
    assert [drawn[number] for number in range(len(drawn))] == [
        int(one.token_ids[-1]) for one in rows for _ in one.draws
    ]
