"""The error table of a simulation, for people."""

from __future__ import annotations

from typing import Any

from statmux.render import marked, milliseconds, percent, table

_HEADINGS = (
    "model", "requests", "measured", "simulated", "points",
    "p50", "simulated", "error", "p99", "simulated", "error",
)  # fmt: skip


def comparison_table(document: dict[str, Any]) -> str:
    """One line a model, one for all, and what it comes to."""
    rows = [
        _row(name, pair, is_estimated=name in document["estimated_models"])
        for name, pair in document["models"].items()
    ]
    rows.append(_row("all", document["all"], is_estimated=document["estimated"]))
    emulated = ", emulated" if document["emulated"] else ""
    return "\n".join([
        f"{document['fleet']} as recorded in {document['record']}{emulated}; "
        f"fixed overhead {document['fixed_overhead_s'] * 1e3:g} ms",
        "",
        table(_HEADINGS, rows),
        "",
        f"mean absolute error {document['mean_absolute_error_points']:.2f} points of attainment, largest "
        f"{document['max_absolute_error_points']:.2f}; p50 {_plain(document['mean_absolute_p50_error_s'])}, "
        f"p99 {_plain(document['mean_absolute_p99_error_s'])}; "
        f"{percent(document['equal_decisions'])} of the decisions equal",
    ])  # fmt: skip


def _row(name: str, pair: dict[str, Any], *, is_estimated: bool) -> list[object]:
    attainment, p50, p99 = pair["slo_attainment"], pair["p50_s"], pair["p99_s"]
    return [
        name,
        pair["num_requests"],
        percent(attainment["measured"]),
        marked(percent(attainment["simulated"]), is_estimated=is_estimated),
        f"{attainment['difference_points']:+.2f}",
        *_latencies(p50, is_estimated=is_estimated),
        *_latencies(p99, is_estimated=is_estimated),
    ]


def _latencies(pair: dict[str, float | None], *, is_estimated: bool) -> list[str | None]:
    difference_s = pair["difference"]
    return [
        milliseconds(pair["measured"]),
        marked(milliseconds(pair["simulated"]), is_estimated=is_estimated),
        None if difference_s is None else f"{difference_s * 1e3:+.1f}",
    ]


def _plain(seconds: float | None) -> str:
    return milliseconds(seconds) or "-"
