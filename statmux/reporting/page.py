"""The self-contained HTML report of a run record, and of several beside one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from statmux.reporting.comparison_sections import comparison_of_record, comparison_section, runs_figure
from statmux.reporting.evidence import latency_curve
from statmux.reporting.evidence_sections import latency_figure
from statmux.reporting.figures import Figure, Series
from statmux.reporting.layout import Page, Section, Table, Verdict
from statmux.reporting.placement_map import device_map, group_table
from statmux.reporting.record import Rows, RunRecord
from statmux.reporting.words import plain

_COLUMNS = (
    "model", "requests", "rate (1/s)", "SLO (s)", "simulated", "measured", "difference", "p50 (s)", "p99 (s)",
)  # fmt: skip
_RUN_COLUMNS = ("run", "fleet", "requests", "SLO scale", "simulated", "measured", "difference", "p99 (s)")
# Models whose curves are drawn at once; the others are behind a button.
_NUM_SHOWN = 6


def runs_layout(records: Sequence[RunRecord]) -> Page:
    """Several runs: a row and a point each, then the latencies of every model over all of them."""
    rows = tuple(_run_row(record) for record in records)
    compared = any(record.run.get("simulated") for record in records)
    models = list(dict.fromkeys(name for record in records for name in record.run["models"]))
    latencies = tuple(_latency_of_runs(name, records) for name in models)
    sections = (
        Section(
            "Runs", figures=(runs_figure(records),) if compared else (), tables=(Table(_RUN_COLUMNS, rows),)
        ),
        Section("Latency of every model", figures=latencies[:_NUM_SHOWN], folded=latencies[_NUM_SHOWN:]),
    )
    num_requests = sum(record.run["measured"]["num_requests"] for record in records)
    shares = [record.run["measured"]["slo_attainment"] for record in records]
    words = f"Measured attainment from {min(shares):.1%} to {max(shares):.1%}."
    verdict = Verdict(f"{len(records)} runs", words, None)
    return Page("Runs compared", f"{num_requests} requests in all", verdict, sections)


def record_layout(record: RunRecord) -> Page:
    """The page as values; `.figures` for files of their own."""
    run = record.run
    models = list(run["measured"]["models"])
    latencies = tuple(latency_figure(name, _curves(name, record)) for name in models)
    traffic = tuple(_traffic_figure(name, record.measured) for name in models)
    return Page(
        title=run["fleet"],
        subtitle=run.get("subtitle", ""),
        verdict=_verdict(run),
        sections=(
            Section("Models", tables=(Table(_COLUMNS, tuple(_row(name, run) for name in models)),)),
            Section(
                "Latency of every model",
                note="Share of all requests answered within a time; refused ones never are.",
                figures=latencies[:_NUM_SHOWN],
                folded=latencies[_NUM_SHOWN:],
            ),
            Section("Traffic", figures=traffic[:_NUM_SHOWN], folded=traffic[_NUM_SHOWN:]),
            _placement(run["plan"]["groups"]),
            comparison_section(comparison_of_record(record)),
            _reasons(record.measured),
            Section("Assumptions and provenance", lines=tuple(run.get("assumptions", ()))),
        ),
    )


def _verdict(run: Mapping[str, Any]) -> Verdict:
    measured = run["measured"]["slo_attainment"]
    words = f"{measured:.1%} of {run['measured']['num_requests']} requests were served within their SLO"
    simulated = run.get("simulated")
    if simulated is not None:
        difference = 100 * (simulated["slo_attainment"] - measured)
        words += f"; the simulator said {simulated['slo_attainment']:.1%} ({difference:+.1f} points)."
    wanted = run.get("required_attainment", 0.99)
    is_good = measured >= wanted
    return Verdict(f"{wanted:.4g} was {'' if is_good else 'not '}attained", words, is_good)


def _row(name: str, run: Mapping[str, Any]) -> tuple[str, ...]:
    measured, slo_s = run["measured"]["models"][name], run["models"][name].get("slo_s")
    simulated = run["simulated"]["models"][name]["slo_attainment"] if run.get("simulated") else None
    share = measured["slo_attainment"]
    return (
        name,
        str(measured["num_requests"]),
        f"{measured['rate_rps']:.2f}",
        "none" if slo_s is None else f"{slo_s:.3g}",
        "" if simulated is None else f"{simulated:.1%}",
        f"{share:.1%}",
        "" if simulated is None else f"{100 * (simulated - share):+.1f} points",
        _seconds(measured["p50_s"]),
        _seconds(measured["p99_s"]),
    )


def _run_row(record: RunRecord) -> tuple[str, ...]:
    run, measured = record.run, record.run["measured"]
    simulated = run["simulated"]["slo_attainment"] if run.get("simulated") else None
    scale = run.get("slo_scale")
    return (
        str(record.folder),
        run["fleet"],
        str(measured["num_requests"]),
        "" if scale is None else f"{scale:g}",
        "" if simulated is None else f"{simulated:.2%}",
        f"{measured['slo_attainment']:.2%}",
        "" if simulated is None else f"{100 * (simulated - measured['slo_attainment']):+.2f} points",
        _seconds(measured["p99_s"]),
    )


def _seconds(value: float | None) -> str:
    return "none served" if value is None else f"{value:.3f}"


def _curves(name: str, record: RunRecord) -> dict[str, dict[str, Any]]:
    slo_s = record.run["models"][name].get("slo_s")
    sides = {"measured": record.measured, "simulated": record.simulated}
    return {side: _curve(name, rows, slo_s) for side, rows in sides.items() if rows is not None}


def _curve(name: str, rows: Rows, slo_s: float | None) -> dict[str, Any]:
    mine = rows.model == name
    return {"slo_s": slo_s, **latency_curve(rows.latency_s[mine], rows.good[mine])}


def _latency_of_runs(name: str, records: Sequence[RunRecord]) -> Figure:
    """Measured latencies of one model, a curve a run; the SLO is drawn where all runs have the same."""
    having = [record for record in records if name in record.run["models"]]
    slos_s = {record.run["models"][name].get("slo_s") for record in having}
    slo_s = slos_s.pop() if len(slos_s) == 1 else None
    return latency_figure(
        name, {str(record.folder): _curve(name, record.measured, slo_s) for record in having}
    )


def _traffic_figure(name: str, rows: Rows) -> Figure:
    end_s = max(float(rows.arrival_s.max(initial=0.0)), 1.0)
    counts, edges = np.histogram(rows.arrival_s[rows.model == name], bins=60, range=(0.0, end_s))
    series = Series("arrivals", edges[:-1], counts / (edges[1] - edges[0]), style="steps")
    return Figure(f"Arrivals of {name}", "time (s)", "requests per second", (series,))


def _placement(groups: Sequence[Mapping[str, Any]]) -> Section:
    """The devices that the plan names; a record has no others."""
    devices = [device for group in groups for device in group["devices"]]
    hosts = dict.fromkeys(device.rpartition(":")[0] for device in devices)
    drawn = device_map(
        [(host, [d for d in devices if d.rpartition(":")[0] == host]) for host in hosts], groups, {}
    )
    return Section("Placement", map=drawn, tables=(group_table(groups, {}),))


def _reasons(rows: Rows) -> Section:
    counts = Counter(rows.reason[rows.reason != ""].tolist()).most_common()
    title = "Requests that were not served"
    if not counts:
        return Section(title, absent="There were none.")
    cells = tuple((reason, str(number)) for reason, number in counts)
    bars = Series("", [plain(reason) for reason, _ in counts], [number for _, number in counts], style="bars")
    figure = Figure("Requests not served, by reason", "reason", "requests", (bars,))
    return Section(title, figures=(figure,), tables=(Table(("reason", "requests"), cells),))
