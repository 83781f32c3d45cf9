"""Section 10: simulated against measured, by model: a scatter of percentiles and a table of errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from statmux.reporting.figures import Figure, Series
from statmux.reporting.layout import Section, Table
from statmux.reporting.record import Rows, RunRecord
from statmux.reporting.words import seconds, share

Document = Mapping[str, Any]
TITLE = "Simulated against measured"
_QUANTILES = np.arange(1, 100) / 100
_ABSENT = (
    "No live run is beside this: record one with `statmux bench --record RUN`, then look at it with "
    "`statmux simulate --compare-to RUN`, or add RUN to this report."
)


def comparison_part(measured: Rows, simulated: Rows, models: Sequence[str]) -> dict[str, Any]:
    """Part `comparison` of a document: attainment and latencies of both, for every model and over all."""
    parts = {name: _model_part(measured, simulated, name) for name in models}
    errors = [abs(one["difference_points"]) for one in parts.values()]
    return {
        "all": _pair(measured, simulated),
        "models": parts,
        "mean_absolute_error_points": float(np.mean(errors)) if errors else 0.0,
        "max_absolute_error_points": max(errors, default=0.0),
    }


def comparison_of_record(record: RunRecord) -> dict[str, Any] | None:
    """None where the record has no simulated outcomes."""
    if record.simulated is None:
        return None
    return comparison_part(record.measured, record.simulated, list(record.run["measured"]["models"]))


def comparison_section(part: Document | None) -> Section:
    if part is None:
        return Section(TITLE, absent=_ABSENT)
    every = part["all"]
    note = (
        f"{share(every['simulated'])} simulated, {share(every['measured'])} measured "
        f"({every['difference_points']:+.2f} points). Of single models the error is "
        f"{part['mean_absolute_error_points']:.2f} points on average, "
        f"{part['max_absolute_error_points']:.2f} at most."
    )
    return Section(TITLE, note=note, figures=(_attainments(part), _percentiles(part)), tables=(_table(part),))


def runs_figure(records: Sequence[RunRecord]) -> Figure:
    """A point for every run that has a simulation, by fleet."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if record.run.get("simulated"):
            pair = [100 * record.run[side]["slo_attainment"] for side in ("measured", "simulated")]
            points.setdefault(record.run["fleet"], []).append((pair[0], pair[1]))
    clouds = [Series(name, *np.array(pairs).T, style="points") for name, pairs in points.items()]
    low = max(min(min(pair) for pairs in points.values() for pair in pairs) - 2, 0.0)
    series = (*clouds, Series("equal", [low, 101], [low, 101]))
    return Figure("SLO attainment of every run", "measured (%)", "simulated (%)", series)


def _pair(measured: Rows, simulated: Rows) -> dict[str, Any]:
    seen, said = _attained(measured), _attained(simulated)
    return {"measured": seen, "simulated": said, "difference_points": 100 * (said - seen)}


def _model_part(measured: Rows, simulated: Rows, name: str) -> dict[str, Any]:
    of_both = [_only(rows, name) for rows in (measured, simulated)]
    seen, said = (one.latency_s[~np.isnan(one.latency_s)] for one in of_both)
    both = len(seen) > 0 and len(said) > 0
    return {
        **_pair(*of_both),
        "num_requests": len(of_both[0].good),
        "measured_s": np.quantile(seen, _QUANTILES).tolist() if both else [],
        "simulated_s": np.quantile(said, _QUANTILES).tolist() if both else [],
    }


def _only(rows: Rows, name: str) -> Rows:
    mine = rows.model == name
    return Rows(
        rows.model[mine], rows.arrival_s[mine], rows.latency_s[mine], rows.good[mine], rows.reason[mine]
    )


def _attained(rows: Rows) -> float:
    return float(rows.good.mean()) if len(rows.good) else 1.0


def _attainments(part: Document) -> Figure:
    models = part["models"].values()
    x, y = ([100 * one[side] for one in models] for side in ("measured", "simulated"))
    low = max(min([*x, *y, 100.0]) - 2, 0.0)
    series = (Series("one model", x, y, style="points"), Series("equal", [low, 101], [low, 101]))
    return Figure("SLO attainment of every model", "measured (%)", "simulated (%)", series)


def _percentiles(part: Document) -> Figure:
    models = part["models"].values()
    x, y = ([second for one in models for second in one[side]] for side in ("measured_s", "simulated_s"))
    ends = [min([*x, *y], default=0.0), max([*x, *y], default=1.0)]
    series = (Series("percentile of a model", x, y, style="points"), Series("equal", ends, ends))
    return Figure("Latency percentiles 1 to 99 of every model", "measured (s)", "simulated (s)", series)


def _table(part: Document) -> Table:
    rows = [("all", "", *_shares(part["all"]), "", "", "", "")]
    for name, one in part["models"].items():
        latencies = [
            seconds(one[side][place - 1] if one[side] else None)
            for place in (50, 99)
            for side in ("measured_s", "simulated_s")
        ]
        rows.append((name, str(one["num_requests"]), *_shares(one), *latencies))
    columns = (
        "model", "requests", "measured", "simulated", "error (points)",
        "p50 measured (s)", "simulated", "p99 measured (s)", "simulated",
    )  # fmt: skip
    return Table(columns, tuple(rows))


def _shares(one: Document) -> tuple[str, str, str]:
    return share(one["measured"]), share(one["simulated"]), f"{one['difference_points']:+.2f}"
