"""Named tensors as the v2 inference protocol has them: datatype, shape, raw little-endian bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Bytes an element takes; BYTES is variable, each element a 4-byte little-endian length and its bytes.
ELEMENT_BYTES: Mapping[str, int] = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4,
    "INT64": 8, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
# What an emulated model calls its platform, so that clients can say so.
EMULATED_PLATFORM = "statmux_emulated"
DATATYPES = (*ELEMENT_BYTES, "BYTES")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model takes or gives under one name; a dimension of -1 may have any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        assert self.datatype in DATATYPES, self.datatype

    def accepts(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            want in (-1, have) for want, have in zip(self.shape, shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor on its way: `raw` holds its elements in row-major order, little-endian."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview
