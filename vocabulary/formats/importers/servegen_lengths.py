"""How long a ServeGen client's requests are: `chunk-N-dataset.json`, a distribution of counts a window."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import Lengths, TraceFile
from vocabulary.formats.untyped import is_dict, is_mapping

FIELDS = ("input_tokens", "output_tokens")
# A distribution is published as text: `{1: 0.25, 7: 0.75}`, token count to probability.
_BIN = re.compile(r"\s*(\d{1,9})\s*:\s*(\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)\s*")
HINT = "a dataset is {start: {input_tokens: '{count: probability, ...}', output_tokens: ...}}"


def lengths_of(file: TraceFile, source_index: int) -> tuple[Lengths, ...]:
    """By start; a window without both fields is left out. Raises InvalidInput."""
    try:
        windows = json.loads(file.raw)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not valid JSON: {error}", where=file.name, hint=HINT) from None
    if not is_dict(windows):
        raise InvalidInput("not a JSON object", where=file.name, hint=HINT)
    found: list[Lengths] = []
    for start, fields in windows.items():
        if not start.isdecimal() or not is_dict(fields):
            raise InvalidInput(f"{start!r} is not a window", where=file.name, hint=HINT)
        if all(str(fields.get(field) or {}).strip() != "{}" for field in FIELDS):
            found += [_lengths(file, source_index, start, field, fields[field]) for field in FIELDS]
    return tuple(sorted(found, key=lambda one: one.start_s))


def _lengths(file: TraceFile, source_index: int, start: str, field: str, value: object) -> Lengths:
    bins = _bins(value)
    counts = np.array(sorted(bins), dtype=np.int32)
    weights = np.array([bins[count] for count in counts.tolist()])
    if not len(counts) or not np.all(weights >= 0) or not 0 < weights.sum() < np.inf:
        where = f"{file.name}: {start}.{field}"
        raise InvalidInput("not a distribution of token counts", where=where, hint=HINT)
    return Lengths(source_index, float(start), field, counts, weights / weights.sum())


def _bins(value: object) -> Mapping[int, float]:
    """Empty when it is no distribution."""
    if is_mapping(value):
        value = ", ".join(f"{count}: {weight}" for count, weight in value.items())
    if not isinstance(value, str):
        return {}
    matches = [_BIN.fullmatch(part) for part in value.strip().strip("{}").rstrip(", ").split(",")]
    return {} if None in matches else {int(one[1]): float(one[2]) for one in matches if one is not None}
