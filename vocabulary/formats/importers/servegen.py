"""ServeGen (Xiang et al., NSDI 26): what clients of production models asked for, in windows of ten minutes.

A client is a pair of files: `chunk-N-trace.csv`, rates and kinds of gaps; `chunk-N-dataset.json`, lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.importers.imported import Lengths, TraceFile, Windows
from vocabulary.formats.importers.schemas import SERVEGEN, SERVEGEN_TABLE, is_parquet, rows_of
from vocabulary.formats.importers.servegen_lengths import lengths_of
from vocabulary.formats.trace_rows import Labels, Rows, Skipped

WINDOW_S = 600.0
# Their distributions of gaps: the first parameter is the shape; the rate fixes the mean.
IS_WEIBULL = {"Gamma": False, "Weibull": True}


def read(files: Sequence[TraceFile], *, skips_bad: bool = False) -> Windows:
    """Sources are `model/chunk-N`. The request count of a window is its rate times its length."""
    tables = [file for file in files if not file.name.lower().endswith(".json")]
    if not tables:
        raise InvalidInput("there is no trace", where=files[0].name, hint="give the chunk-*-trace.csv files")
    parts = [_part(file, skips_bad=skips_bad) for file in tables]
    names = tuple(dict.fromkeys(name for part in parts for name in part.clients.names))
    position = {name: index for index, name in enumerate(names)}
    moved = [np.array([position[one] for one in part.clients.names], np.int32) for part in parts]
    start_s = np.concatenate([part.start_s for part in parts])
    length_s = _window_s(start_s)
    windows = Windows(
        names,
        np.concatenate([table[part.clients.index] for table, part in zip(moved, parts, strict=True)]),
        start_s,
        np.full(len(start_s), length_s),
        np.round(np.concatenate([part.rate_rps for part in parts]) * length_s).astype(np.int64),
        np.concatenate([part.gap_shape for part in parts]),
        np.concatenate([part.is_weibull for part in parts]),
        tuple(one for file in files if file not in tables for one in _lengths(file, position)),
        _all_skipped(parts),
    )
    if not windows.num_requests.any():
        raise InvalidInput("no client has a request", where=files[0].name, hint="are these the right files?")
    return windows.take(windows.num_requests > 0)


@dataclass(frozen=True, slots=True)
class _Part:
    """The windows of one file; all arrays are [windows]."""

    clients: Labels
    start_s: NDArray[np.float64]
    rate_rps: NDArray[np.float64]
    gap_shape: NDArray[np.float64]
    is_weibull: NDArray[np.bool_]
    skipped: Skipped


def _part(file: TraceFile, *, skips_bad: bool) -> _Part:
    if is_parquet(file):
        rows = rows_of(file, SERVEGEN_TABLE, skips_bad=skips_bad)
        models, clients = rows.labels("model"), rows.labels("client")
        pairs = models.index.astype(np.int64) * len(clients.names) + clients.index
        found, index = np.unique(pairs, return_inverse=True)
        pair_names = (np.divmod(pair, len(clients.names)) for pair in found)
        names = tuple(f"{models.names[model]}/{clients.names[client]}" for model, client in pair_names)
        return _windows(rows, "t", Labels(index.astype(np.int32), names))
    rows = rows_of(file, SERVEGEN, skips_bad=skips_bad)
    return _windows(rows, "timestamp", Labels(np.zeros(len(rows), np.int32), (client_name(file.name),)))


def _windows(rows: Rows, time: str, clients: Labels) -> _Part:
    """An idle window has no pattern, and whatever else."""
    start_s = rows.seconds(time)
    pattern = rows.table["pattern"].combine_chunks().fill_null("").dictionary_encode()
    names = pattern.dictionary.to_pylist()
    kind = pattern.indices.to_numpy(zero_copy_only=False)
    is_idle = np.array([name == "" for name in names], bool)[kind]
    for number, name in enumerate(names):
        if name and name not in IS_WEIBULL:
            hint = "known are Gamma and Weibull"
            rows.refuse(kind == number, lambda row, name=name: f"pattern is {name!r}", hint=hint)
    rate_rps, shape = (rows.table[name].to_numpy().astype(float) for name in ("rate", "p1"))
    for label, values, is_right in (("rate", rate_rps, rate_rps >= 0), ("p1", shape, shape > 0)):
        rows.refuse(
            ~is_idle & ~(is_right & np.isfinite(values)),
            lambda row, label=label, values=values: f"{label} is {values[row]}",
            hint="rates are requests a second, 0 or more; the shape of a distribution is more than 0",
        )
    kept = rows.mask()
    is_weibull = np.array([IS_WEIBULL.get(name, False) for name in names], bool)[kind]
    rate_rps[is_idle] = 0.0
    shape[is_idle] = 1.0
    return _Part(
        Labels(clients.index[kept], clients.names),
        start_s[kept],
        rate_rps[kept],
        shape[kept],
        is_weibull[kept],
        rows.skipped,
    )


def _window_s(start_s: NDArray[np.float64]) -> float:
    """The least distance between windows; rows of idle ones may be missing."""
    steps = np.diff(np.unique(start_s))
    return float(steps.min()) if len(steps) else WINDOW_S


def client_name(path: str) -> str:
    """`m-large/chunk-3` of `data/language/m-large/chunk-3-trace.csv`."""
    parts = path.replace("\\", "/").split("/")
    stem = parts[-1].split(".", 1)[0].removesuffix("-trace").removesuffix("-dataset")
    return "/".join([*parts[-2:-1], stem])


def _lengths(file: TraceFile, position: dict[str, int]) -> tuple[Lengths, ...]:
    name = client_name(file.name)
    return lengths_of(file, position[name]) if name in position else ()


def _all_skipped(parts: Sequence[_Part]) -> Skipped:
    skipped = Skipped()
    for part in parts:
        skipped = skipped.plus(part.skipped)
    return skipped
