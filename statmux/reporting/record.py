"""A run record: a folder with what was asked (run.json) and what became of every request (CSV).

run.json: kind RunRecord; fleet, engine, plan (groups), models (slo_s, provenance), measured and simulated
summaries, assumptions. measured.csv and simulated.csv are outcome files.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import read_text, write_bytes

RUN_FILE = "run.json"
MEASURED_FILE = "measured.csv"
SIMULATED_FILE = "simulated.csv"
KIND = "RunRecord"
# What a page cannot be drawn without.
_KEYS = {"fleet", "measured", "models", "plan"}


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of an outcome file. latency_s: NaN where the request was not served."""

    model: NDArray[np.str_]
    arrival_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    good: NDArray[np.bool_]
    reason: NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `statmux bench --record` wrote."""

    folder: Path
    run: Mapping[str, Any]
    measured: Rows
    simulated: Rows | None


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json; the outcome files are written beside it by the caller."""
    document = {"api_version": "v1alpha1", "kind": KIND, **run}
    write_bytes(folder / RUN_FILE, f"{json.dumps(document, indent=1)}\n".encode())


def read_record(folder: Path) -> RunRecord:
    """Raises InvalidInput when the folder is not a run record."""
    if not folder.is_dir():
        raise _no_record(folder, "there is no such folder")
    if not (folder / RUN_FILE).is_file():
        raise _no_record(folder, f"there is no {RUN_FILE}")
    try:
        run = json.loads(read_text(folder / RUN_FILE))
    except ValueError as error:
        raise _no_record(folder, f"{RUN_FILE} is not JSON: {error}") from None
    if not isinstance(run, dict) or run.get("kind") != KIND or not run.keys() >= _KEYS:
        raise _no_record(folder, f"{RUN_FILE} is not of kind {KIND} with {', '.join(sorted(_KEYS))}")
    simulated = folder / SIMULATED_FILE
    return RunRecord(
        folder,
        run,
        _read_rows(folder / MEASURED_FILE),
        _read_rows(simulated) if simulated.exists() else None,
    )


def _no_record(folder: Path, why: str) -> InvalidInput:
    hint = "make a record with `statmux bench --record`, or a study with `statmux capacity --out`"
    return InvalidInput(f"not a run record: {why}", where=str(folder), hint=hint)


def _read_rows(path: Path) -> Rows:
    rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
    try:
        return _columns(rows)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"not a file of outcomes: {error}", where=str(path), hint="make the record again"
        ) from None


def _columns(rows: list[dict[str, str]]) -> Rows:
    arrival_s = np.array([float(row["arrival_s"]) for row in rows])
    finish_s = np.array([float(row["finish_s"]) if row["finish_s"] else np.nan for row in rows])
    return Rows(
        model=np.array([row["model"] for row in rows]),
        arrival_s=arrival_s,
        latency_s=finish_s - arrival_s,
        good=np.array([row["good"] == "1" for row in rows]),
        reason=np.array([row["reason"] for row in rows]),
    )
