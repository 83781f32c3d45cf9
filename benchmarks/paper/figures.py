"""The paper's figures: one for each sweep, a line for each policy, published points beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.published import AZURE_2019
from statmux.reporting.figures import Figure, Mark, Series, write_figure

LABELS = {
    "devices": "devices",
    "rate_scale": "rate scale",
    "cv_scale": "CV (synthetic) or CV within a minute (Azure)",
    "slo_scale": "SLO in single-device latencies",
}
# The rate scales of the paper count from the raw trace, ours from a rate: they share no axis.
COMPARABLE = ("devices", "cv_scale", "slo_scale")


def draw(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """<traffic>-<axis>.svg, .png and .csv for each sweep."""
    for traffic, axis in dict.fromkeys((row["traffic"], row["axis"]) for row in rows):
        figure = sweep_figure([row for row in rows if (row["traffic"], row["axis"]) == (traffic, axis)])
        for suffix in (".svg", ".png", ".csv"):
            write_figure(folder / f"{traffic}-{axis}{suffix}", figure)


def sweep_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """Attainment of every policy against the values of one axis."""
    traffic, axis = rows[0]["traffic"], rows[0]["axis"]
    lines = [_line(policy, rows) for policy in dict.fromkeys(row["policy"] for row in rows)]
    if traffic == "azure-2019" and axis in COMPARABLE:
        lines += [_points(name, points) for name, points in AZURE_2019[axis].items()]
    marks = (Mark(0.99, "99 %", axis="y"),)
    title = f"SLO attainment on {traffic} traffic (simulated)"
    lowest = min(float(np.min(line.y)) for line in lines)
    y_range = (np.floor(lowest * 10) / 10, 1.01)
    return Figure(title, LABELS[axis], "share in time", tuple(lines), marks, y_range=y_range)


def _line(policy: str, rows: Sequence[dict[str, Any]]) -> Series:
    of_policy = sorted((row["value"], row["attainment"]) for row in rows if row["policy"] == policy)
    return Series(policy, np.array([x for x, _ in of_policy]), np.array([y for _, y in of_policy]))


def _points(name: str, points: Sequence[tuple[float, float]]) -> Series:
    x, y = np.array(points, dtype=float).T
    return Series(f"published: {name}", x, y, style="points")
