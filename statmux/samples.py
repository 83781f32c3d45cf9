"""An input for any model that describes itself: what `bench` sends when it is not told otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vocabulary.tensors import TensorSpec

_TYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16,
    "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
_TEXT = "Several models share a few accelerators, so that a burst for one finds the others idle."


def sample_inputs(specs: Sequence[TensorSpec], *, sequence_length: int) -> Mapping[str, object]:
    """One request: a batch of one, every other open dimension `sequence_length`; masks are ones."""
    return {spec.name: _sample(spec, sequence_length) for spec in specs}


def _sample(spec: TensorSpec, sequence_length: int) -> object:
    open_sizes = [sequence_length] * spec.shape.count(-1)
    if len(spec.shape) > 1 and open_sizes:
        open_sizes[0] = 1
    sizes = iter(open_sizes)
    shape = tuple(next(sizes) if size == -1 else size for size in spec.shape)
    if spec.datatype == "BYTES":
        return np.full(shape if len(spec.shape) > 1 else (1,), _TEXT.encode(), dtype=object)
    if "mask" in spec.name:
        return np.ones(shape, dtype=_TYPES[spec.datatype])
    # Small token ids exist in every vocabulary.
    return (np.arange(int(np.prod(shape))) % 90 + 5).reshape(shape).astype(_TYPES[spec.datatype])
