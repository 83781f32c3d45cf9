import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabulary.errors import InvalidInput
from workers.padding import Bucket, Buckets, pack, prepare_ids, prepare_texts, unpack

BUCKETS = Buckets((1, 4, 8), (4, 16))


def prepared(num_rows: int, length: int, *, first_id: int = 1):
    ids = np.arange(first_id, first_id + num_rows * length).reshape(num_rows, length)
    return prepare_ids({"input_ids": ids}, vocab_size=10**6, takes_mask=True)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 16)), min_size=1, max_size=4))
def test_what_is_packed_comes_out_as_it_went_in(shapes):
    requests = [prepared(rows, length, first_id=7 * index + 1) for index, (rows, length) in enumerate(shapes)]
    batch = pack(requests, BUCKETS)
    ids = unpack(batch.arrays["input_ids"], batch.rows, has_sequence=True)
    for request, got in zip(requests, ids, strict=True):
        np.testing.assert_array_equal(got, request.ids_BL)
    num_tokens = sum(rows * length for rows, length in shapes)
    assert batch.arrays["attention_mask"].sum() == num_tokens
    assert (batch.arrays["input_ids"] != 0).sum() == num_tokens
    assert batch.arrays["input_ids"].shape == (batch.bucket.batch_size, batch.bucket.sequence_length)


@pytest.mark.parametrize(
    ("num_rows", "length", "bucket"),
    [(1, 1, (1, 4)), (1, 4, (1, 4)), (1, 5, (1, 16)), (2, 4, (4, 4)), (5, 16, (8, 16))],
)
def test_the_smallest_bucket_that_fits_is_taken(num_rows, length, bucket):
    assert BUCKETS.fit(num_rows=num_rows, length=length) == Bucket(*bucket)


def test_requests_that_fit_alone_but_not_together_are_refused():
    with pytest.raises(InvalidInput, match="9 rows are more than the largest bucket, 8"):
        pack([prepared(4, 2), prepared(5, 2)], BUCKETS)


@pytest.mark.parametrize("mask", [np.ones((1, 3)), np.full((1, 2), 2)])
def test_a_mask_must_be_zeros_and_ones_in_the_shape_of_the_ids(mask):
    with pytest.raises(InvalidInput, match="attention_mask"):
        prepare_ids(
            {"input_ids": np.ones((1, 2), int), "attention_mask": mask}, vocab_size=9, takes_mask=True
        )


def test_texts_of_one_request_are_its_rows():
    request = prepare_texts([np.array([5, 6, 7]), np.array([8])], is_single=False)
    np.testing.assert_array_equal(request.ids_BL, [[5, 6, 7], [8, 0, 0]])
    np.testing.assert_array_equal(request.mask_BL, [[1, 1, 1], [1, 0, 0]])
    assert (request.num_rows, request.length) == (2, 3)
