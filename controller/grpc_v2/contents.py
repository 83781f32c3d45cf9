"""Input contents that came typed, as `InferTensorContents`, into raw bytes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from controller.calls import Reason
from controller.grpc_v2.refusals import Refused
from vocabulary.numpy_tensors import NUMPY_TYPES, pack_bytes

# The field that carries a datatype. FP16 and BF16 travel raw only.
FIELDS: Mapping[str, str] = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


def raw_of(name: str, datatype: str, contents: object) -> bytes:
    """Elements of `contents` as the raw bytes of a tensor of `datatype`.

    Raises Refused if the datatype only travels raw or an element does not fit it.
    """
    field = FIELDS.get(datatype)
    if field is None:
        raise Refused(Reason.INVALID_TENSOR, f"input {name!r}: send {datatype} in raw_input_contents")
    elements = getattr(contents, field)
    if datatype == "BYTES":
        return pack_bytes(elements)
    try:
        return np.fromiter(elements, dtype=NUMPY_TYPES[datatype], count=len(elements)).tobytes()
    except OverflowError as error:
        raise Refused(
            Reason.INVALID_TENSOR, f"input {name!r}: an element of {field} does not fit {datatype}"
        ) from error
