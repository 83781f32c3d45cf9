"""What `statmux capacity --out` leaves in a folder: the record, a CSV for every table, the smallest plan."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vocabulary.formats.disk import write_bytes, write_plan
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.plan import Plan

RECORD = "capacity.json"
_POINT = (
    "num_devices", "rate_scale", "slo_scale", "cv_scale", "cost_per_hour", "slo_attainment", "low", "high",
    "num_requests", "rate_rps", "goodput_rps", "p50_s", "p99_s", "infeasible", "num_evaluated", "seconds",
)  # fmt: skip
_PROBE = (
    "order", "num_devices", "cost_per_hour", "slo_attainment", "low", "high", "holds", "infeasible",
    "seconds", "is_confirmation",
)  # fmt: skip
_ROOM = ("rate_scale", "slo_attainment", "low", "high", "holds", "seconds")


def write_study(folder: Path, document: Mapping[str, Any]) -> tuple[Path, ...]:
    """The files written. Raises RuntimeFailure when the folder cannot be written."""
    written = {folder / RECORD: json.dumps(document, indent=1, allow_nan=False).encode()}
    for sweep in document["sweeps"]:
        rows = [(curve["curve"], point) for curve in sweep["curves"] for point in curve["points"]]
        written[folder / f"{sweep['axis']}.csv"] = _csv(("value", *_POINT), rows)
    rooms = [(one["curve"], probe) for one in document["head_room"] for probe in one["probes"]]
    written[folder / "head_room.csv"] = _csv(_ROOM, rooms)
    smallest = document["minimized"] or ()
    if smallest:
        rows = [(one["curve"], probe) for one in smallest for probe in one["probes"]]
        written[folder / "minimized.csv"] = _csv(_PROBE, rows)
    for path, content in written.items():
        write_bytes(path, content)
    plans = [folder / f"plan.{one['curve']}.yaml" for one in smallest if one["plan"] is not None]
    for path, one in zip(plans, (one for one in smallest if one["plan"] is not None), strict=True):
        write_plan(path, _plan(one, document))
    return (*written, *plans)


def _csv(columns: Sequence[str], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("curve", *columns))
    for curve, row in rows:
        writer.writerow((curve, *("" if row[name] is None else row[name] for name in columns)))
    return text.getvalue().encode()


def _plan(one: Mapping[str, Any], document: Mapping[str, Any]) -> Plan:
    groups = tuple(
        Group(
            group["id"],
            tuple(group["devices"]),
            ParallelConfig(group["tensor"], group["pipeline"]),
            tuple(group["models"]),
        )
        for group in one["plan"]["groups"]
    )
    metadata = {"deployment": document["deployment"], "policy": one["curve"], "hosts": one["hosts"]}
    return Plan(
        Placement(groups),
        metadata=metadata,
        predicted={"slo_attainment": one["slo_attainment"]},
        inputs=document["inputs"],
    )
