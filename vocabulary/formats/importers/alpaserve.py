"""AlpaServe's artifact: `azure_v1.pkl` and `azure_v2.pkl`, the Azure Functions traces by function.

Integers are counts of each minute (2019), other numbers the times of invocations in seconds (2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import Arrivals, TraceFile, Windows
from vocabulary.formats.importers.pickled import arrays_of
from vocabulary.formats.trace_rows import Skipped
from vocabulary.trace import Trace

MINUTE_S = 60.0
HINT = "the artifact's traces are azure_v1.pkl and azure_v2.pkl; CSV traces need no --format"


def read(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals | Windows:
    """Nothing in the file is run. Functions without an invocation are left out."""
    file = files[0]
    try:
        arrays = {name: array for name, array in arrays_of(file.raw).items() if _is_invoked(array)}
    except ValueError as error:
        raise InvalidInput(f"not a pickle of AlpaServe's: {error}", where=file.name, hint=HINT) from None
    if not arrays:
        raise InvalidInput("no function has an invocation", where=file.name, hint=HINT)
    kinds = {array.dtype.kind for array in arrays.values()}
    if len(kinds) > 1 or any(array.ndim != 1 for array in arrays.values()):
        raise InvalidInput("its functions are of several kinds", where=file.name, hint=HINT)
    wrong = [name for name, array in arrays.items() if not np.all(np.isfinite(array) & (array >= 0))]
    if wrong and not skips_bad:
        message = f"function {wrong[0]} has a time or a count below 0"
        raise InvalidInput(message, where=file.name, hint="`--skip-bad` leaves the function out")
    right = {name: array for name, array in arrays.items() if name not in wrong}
    if not right:
        raise InvalidInput("the trace holds no requests: all functions are wrong", where=file.name, hint=HINT)
    skipped = Skipped(len(wrong), f"{file.name}: function {wrong[0]}" if wrong else "")
    return _windows(right, skipped) if kinds == {"i"} else _arrivals(right, skipped)


def _is_invoked(array: NDArray[Any]) -> bool:
    return bool(array.any()) if array.dtype.kind == "i" else array.size > 0


def _windows(arrays: Mapping[str, NDArray[Any]], skipped: Skipped) -> Windows:
    minutes = [np.flatnonzero(array) for array in arrays.values()]
    counts = [array[array > 0] for array in arrays.values()]
    sizes = [len(one) for one in minutes]
    return Windows(
        tuple(arrays),
        np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        np.concatenate(minutes).astype(np.float64) * MINUTE_S,
        np.full(sum(sizes), MINUTE_S),
        np.concatenate(counts).astype(np.int64),
        skipped=skipped,
    )


def _arrivals(arrays: Mapping[str, NDArray[Any]], skipped: Skipped) -> Arrivals:
    arrival_s = np.concatenate([array.astype(float) for array in arrays.values()])
    index = np.repeat(np.arange(len(arrays), dtype=np.int32), [len(array) for array in arrays.values()])
    order = np.argsort(arrival_s, kind="stable")
    return Arrivals(Trace(arrival_s[order], index[order], tuple(arrays)), skipped)
