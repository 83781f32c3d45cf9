"""numpy arrays become tensors and come back; what would lose something is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vocabulary.numpy_tensors import NUMPY_TYPES, array_of, pack_bytes, tensor_of, unpack_bytes
from vocabulary.tensors import Tensor

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)


@given(st.sampled_from(sorted(NUMPY_TYPES)), st.data())
def test_array_comes_back_as_it_was(datatype: str, data: st.DataObject) -> None:
    array = data.draw(arrays.arrays(NUMPY_TYPES[datatype], SHAPES))
    tensor = tensor_of("x", array)
    assert (tensor.datatype, tensor.shape) == (datatype, array.shape)
    assert array_of(tensor).tobytes() == array.tobytes() and array_of(tensor).shape == array.shape


@given(st.lists(st.binary(max_size=20)))
def test_bytes_come_back_as_they_were(elements: list[bytes]) -> None:
    tensor = tensor_of("x", elements, datatype="BYTES")
    assert array_of(tensor).tolist() == elements == unpack_bytes(pack_bytes(elements))


def test_strings_become_utf8() -> None:
    assert array_of(tensor_of("x", [["häh"], ["ok"]])).tolist() == [["häh".encode()], [b"ok"]]


@given(arrays.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=False)))
def test_bf16_is_the_nearest_one_ties_to_even(array: np.ndarray) -> None:
    import ml_dtypes

    with np.errstate(over="ignore"):
        expected = array.astype(ml_dtypes.bfloat16)
    tensor = tensor_of("x", array, datatype="BF16")
    assert tensor.raw == expected.tobytes() == tensor_of("x", expected).raw
    assert np.array_equal(array_of(tensor), expected.astype(np.float32))


def test_bf16_keeps_nan() -> None:
    quiet, odd = np.float32(np.nan), np.array([0x7F800001], dtype="<u4").view("<f4")[0]
    assert np.isnan(array_of(tensor_of("x", np.array([quiet, odd]), datatype="BF16"))).all()


@pytest.mark.parametrize(
    ("values", "datatype"),
    [
        ([1.5], "INT32"),
        ([300], "INT8"),
        ([-1], "UINT8"),
        (["1"], "FP32"),
        ([float("nan")], "INT64"),
        ([2], "BOOL"),
    ],
)
def test_conversion_that_would_lose_something_is_refused(values: list, datatype: str) -> None:
    with pytest.raises(ValueError, match="'x'"):
        tensor_of("x", values, datatype=datatype)


def test_list_takes_the_datatype_that_is_asked_for() -> None:
    assert tensor_of("x", [1, 2], datatype="FP32").raw == np.array([1, 2], "<f4").tobytes()
    assert tensor_of("x", [1.0, 2.0], datatype="INT32").raw == np.array([1, 2], "<i4").tobytes()


@pytest.mark.parametrize("values", [[object()], [1 + 2j], [None]])
def test_elements_that_no_datatype_holds_are_refused(values: list) -> None:
    with pytest.raises(ValueError, match=r"protocol|bytes or str"):
        tensor_of("x", values)


@pytest.mark.parametrize("raw", [b"\x01", b"\x02\x00\x00\x00a", b"\x00\x00\x00\x00"])
def test_broken_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"past the end|fill shape"):
        array_of(Tensor("x", "BYTES", (2,), raw))
