"""A run record: a folder with what was asked (run.json) and what became of every request (CSV).

run.json: kind RunRecord; fleet, engine, plan (groups), models (slo_s, provenance), measured and simulated
summaries, assumptions. measured.csv and simulated.csv are outcome files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocabulary.errors import InvalidInput

RUN_FILE = "run.json"
MEASURED_FILE = "measured.csv"
SIMULATED_FILE = "simulated.csv"


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
    folder.mkdir(parents=True, exist_ok=True)
    document = {"api_version": "v1alpha1", "kind": "RunRecord", **run}
    (folder / RUN_FILE).write_text(json.dumps(document, indent=1) + "\n")


def read_record(folder: Path) -> RunRecord:
    """Raises InvalidInput when the folder is not a run record."""
    try:
        run = json.loads((folder / RUN_FILE).read_text())
        measured = _read_rows(folder / MEASURED_FILE)
    except FileNotFoundError as error:
        raise InvalidInput(
            f"{error.filename} is not there",
            where=str(folder),
            hint="make a record with `statmux bench --record`",
        ) from None
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"not a run record: {error}", where=str(folder)) from None
    simulated = folder / SIMULATED_FILE
    return RunRecord(folder, run, measured, _read_rows(simulated) if simulated.exists() else None)


def _read_rows(path: Path) -> Rows:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    arrival_s = np.array([float(row["arrival_s"]) for row in rows])
    finish_s = np.array([float(row["finish_s"]) if row["finish_s"] else np.nan for row in rows])
    return Rows(
        model=np.array([row["model"] for row in rows]),
        arrival_s=arrival_s,
        latency_s=finish_s - arrival_s,
        good=np.array([row["good"] == "1" for row in rows]),
        reason=np.array([row["reason"] for row in rows]),
    )
