"""Azure Functions traces: 2019, counts of each function and minute of a day; 2021, every invocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import Arrivals, TraceFile, Windows
from vocabulary.formats.importers.schemas import (
    AZURE_FUNCTIONS_2019,
    AZURE_FUNCTIONS_2019_LONG,
    AZURE_FUNCTIONS_2021,
    MINUTES_OF_A_DAY,
    is_parquet,
    rows_of,
)
from vocabulary.formats.trace import sorted_trace
from vocabulary.formats.trace_rows import Labels, Skipped

MINUTE_S = 60.0
DAY_S = 86_400.0


def read_2019(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Windows:
    """Files are days, one after the other as given. Functions without any invocation are left out."""
    days = [
        (_read_long if is_parquet(file) else _read_day)(file, day_s=index * DAY_S, skips_bad=skips_bad)
        for index, file in enumerate(files)
    ]
    sources = tuple(dict.fromkeys(name for day in days for name in day.sources))
    position = {name: index for index, name in enumerate(sources)}
    moved = [np.array([position[name] for name in day.sources], np.int32)[day.source_index] for day in days]
    skipped = Skipped()
    for day in days:
        skipped = skipped.plus(day.skipped)
    joined = Windows(
        sources,
        np.concatenate(moved),
        np.concatenate([day.start_s for day in days]),
        np.concatenate([day.length_s for day in days]),
        np.concatenate([day.num_requests for day in days]),
        skipped=skipped,
    )
    if not len(joined.num_requests):
        raise InvalidInput(
            "no function has an invocation", where=files[0].name, hint="is this the right day?"
        )
    return joined


def read_2021(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Arrivals:
    """Exact: a function was invoked at its end minus its duration."""
    rows = rows_of(files[0], AZURE_FUNCTIONS_2021, skips_bad=skips_bad)
    end_s, duration_s = rows.numbers("end_timestamp"), rows.numbers("duration")
    rows.refuse(
        duration_s < 0, lambda row: f"duration is {duration_s[row]}, which is negative", hint="in seconds"
    )
    arrival_s = end_s - duration_s
    rows.refuse(
        arrival_s < 0,
        lambda row: f"invoked at {arrival_s[row]:.6f} s, before the trace begins",
        hint="arrival = end_timestamp - duration; `--skip-bad` leaves it out",
    )
    labels = _functions(rows.labels("app"), rows.labels("func"))
    return Arrivals(sorted_trace(rows, arrival_s, labels), rows.skipped)


def _read_day(file: TraceFile, *, day_s: float, skips_bad: bool) -> Windows:
    rows = rows_of(file, AZURE_FUNCTIONS_2019, skips_bad=skips_bad)
    counts = np.empty((len(rows), len(MINUTES_OF_A_DAY)), dtype=np.int32)
    for index, minute in enumerate(MINUTES_OF_A_DAY):
        counts[:, index] = rows.counts(minute, empty=0)
    functions = _functions(rows.labels("HashApp"), rows.labels("HashFunction"))
    counts[~rows.mask()] = 0
    function_index, minute_index = np.nonzero(counts)
    return _windows(
        functions.index[function_index],
        functions.names,
        minute_index,
        counts[function_index, minute_index],
        day_s=day_s,
        skipped=rows.skipped,
    )


def _read_long(file: TraceFile, *, day_s: float, skips_bad: bool) -> Windows:
    """Minutes are counted from 0."""
    rows = rows_of(file, AZURE_FUNCTIONS_2019_LONG, skips_bad=skips_bad)
    functions, minutes, counts = rows.labels("func"), rows.counts("minute"), rows.counts("count")
    kept = rows.mask() & (counts > 0)
    return _windows(
        functions.index[kept], functions.names, minutes[kept], counts[kept], day_s=day_s, skipped=rows.skipped
    )


def _windows(
    index: NDArray[np.int32],
    names: tuple[str, ...],
    minutes: NDArray[np.integer[Any]],
    counts: NDArray[np.int32],
    *,
    day_s: float,
    skipped: Skipped,
) -> Windows:
    used, dense = np.unique(index, return_inverse=True)
    return Windows(
        tuple(names[int(number)] for number in used),
        dense.astype(np.int32),
        day_s + minutes.astype(np.float64) * MINUTE_S,
        np.full(len(minutes), MINUTE_S),
        counts.astype(np.int64),
        skipped=skipped,
    )


def _functions(apps: Labels, functions: Labels) -> Labels:
    """A function is unique within its application; it has both names only where its own is taken twice."""
    pairs = apps.index.astype(np.int64) * len(functions.names) + functions.index
    found, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(found), np.int32)
    rank[order] = np.arange(len(found), dtype=np.int32)
    app_index, function_index = found[order] // len(functions.names), found[order] % len(functions.names)
    num_apps = np.bincount(function_index, minlength=len(functions.names))
    names = tuple(
        functions.names[function]
        if num_apps[function] == 1
        else f"{apps.names[app]}/{functions.names[function]}"
        for app, function in zip(map(int, app_index), map(int, function_index), strict=True)
    )
    return Labels(rank[inverse], names)
