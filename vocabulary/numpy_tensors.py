"""numpy arrays <-> tensors of the v2 protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vocabulary.tensors import Tensor

# numpy has no BF16: tensors of it read as float32, which holds every value of it.
NUMPY_TYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"), "UINT8": np.dtype("u1"), "UINT16": np.dtype("<u2"), "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"), "INT8": np.dtype("i1"), "INT16": np.dtype("<i2"), "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8"),
}  # fmt: skip
_DATATYPES = {dtype: datatype for datatype, dtype in NUMPY_TYPES.items()}
_LENGTH_BYTES = 4


def array_of(tensor: Tensor) -> NDArray[Any]:
    """The tensor as an array of its shape: a read-only view of `tensor.raw` where the datatype allows it.

    BYTES gives an object array of `bytes`, BF16 a float32 array.
    Raises ValueError if bytes and shape disagree.
    """
    if tensor.datatype == "BYTES":
        return _object_array(unpack_bytes(tensor.raw), tensor.shape)
    if tensor.datatype == "BF16":
        widened = np.frombuffer(tensor.raw, dtype="<u2").astype("<u4") << 16
        return widened.view("<f4").reshape(tensor.shape)
    return np.frombuffer(tensor.raw, dtype=NUMPY_TYPES[tensor.datatype]).reshape(tensor.shape)


def tensor_of(name: str, values: ArrayLike, *, datatype: str | None = None) -> Tensor:
    """An array, or a nested list, as a tensor; strings become UTF-8.

    `datatype` converts to what the receiver expects: exactly, or ValueError, except that a float may become a
    narrower float. Without it the array's own type decides.
    """
    array = np.asarray(values)
    if array.dtype.kind == "S" and not isinstance(values, np.ndarray):
        array = np.asarray(values, dtype=object)  # an S array would drop trailing NUL bytes
    wanted = datatype or datatype_of(array)
    if wanted == "BYTES":
        return Tensor(name, wanted, array.shape, pack_bytes(array.ravel().tolist()))
    if wanted == "BF16":
        return Tensor(name, wanted, array.shape, _bf16(array).tobytes())
    return Tensor(name, wanted, array.shape, _converted(name, array, wanted).tobytes())


def datatype_of(array: NDArray[Any]) -> str:
    """The datatype of the array's elements. Raises ValueError if the protocol has none."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    if array.dtype.name == "bfloat16":
        return "BF16"
    datatype = _DATATYPES.get(array.dtype.newbyteorder("<"))
    if datatype is None:
        raise ValueError(f"no datatype of the v2 protocol holds {array.dtype} elements")
    return datatype


def pack_bytes(elements: Iterable[object]) -> bytes:
    """Elements of a BYTES tensor as raw bytes: a 4-byte little-endian length before each."""
    encoded: list[bytes] = []
    for element in elements:
        if not isinstance(element, bytes | str):
            raise ValueError("the elements of a BYTES tensor are bytes or str")
        encoded.append(element.encode() if isinstance(element, str) else element)
    return b"".join(part for item in encoded for part in (len(item).to_bytes(_LENGTH_BYTES, "little"), item))


def unpack_bytes(raw: bytes | memoryview) -> list[bytes]:
    """Elements of a BYTES tensor. Raises ValueError where a length runs past the end."""
    view = memoryview(raw)
    elements: list[bytes] = []
    start = 0
    while start < len(view):
        begin = start + _LENGTH_BYTES
        start = begin + int.from_bytes(view[start:begin], "little")
        if begin > len(view) or start > len(view):
            raise ValueError(f"element {len(elements)} of {len(view)} raw bytes runs past the end")
        elements.append(bytes(view[begin:start]))
    return elements


def _object_array(elements: Sequence[bytes], shape: tuple[int, ...]) -> NDArray[Any]:
    if len(elements) != math.prod(shape):
        raise ValueError(f"{len(elements)} elements do not fill shape {list(shape)}")
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


def _converted(name: str, array: NDArray[Any], datatype: str) -> NDArray[Any]:
    target = NUMPY_TYPES[datatype]
    if array.dtype.kind in "OSU":
        raise ValueError(f"{name!r}: strings cannot become {datatype}")
    with np.errstate(invalid="ignore"):
        converted = array.astype(target)
    is_rounding = array.dtype.kind == "f" and target.kind == "f"
    if not is_rounding and not np.array_equal(converted, array):
        raise ValueError(f"{name!r}: {array.dtype} values do not fit {datatype}")
    return converted


def _bf16(array: NDArray[Any]) -> NDArray[np.uint16]:
    """The upper half of float32, rounded to nearest even; bfloat16 arrays as they are."""
    if array.dtype.name == "bfloat16":
        return array.view("<u2")
    bits = array.astype("<f4").view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(array.astype("<f4")), quiet_nan, rounded).astype("<u2")
