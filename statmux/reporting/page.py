"""The self-contained HTML report of a run record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, select_autoescape
from markupsafe import Markup

from statmux.reporting.charts import Axes, Line, cdf, line_chart
from statmux.reporting.record import Rows, RunRecord

_TEMPLATE = Path(__file__).with_name("template.html")
_COLUMNS = (
    "model", "requests", "rate (1/s)", "SLO (s)", "simulated", "measured", "difference", "p50 (s)", "p99 (s)",
)  # fmt: skip


def render_page(record: RunRecord) -> str:
    """One HTML document; nothing in it is fetched from anywhere."""
    run = record.run
    environment = Environment(autoescape=select_autoescape(default=True))
    template = environment.from_string(_TEMPLATE.read_text())
    return template.render(
        title=run["fleet"],
        subtitle=run.get("subtitle", ""),
        columns=_COLUMNS,
        rows=[_row(name, run) for name in run["measured"]["models"]],
        latency_charts=[(name, _latency_chart(name, record)) for name in run["measured"]["models"]],
        traffic_charts=[(name, _traffic_chart(name, record)) for name in run["measured"]["models"]],
        has_simulated=record.simulated is not None,
        groups=run["plan"]["groups"],
        reasons=Counter(record.measured.reason[record.measured.reason != ""].tolist()).most_common(),
        assumptions=run.get("assumptions", []),
        **_verdict(run),
    )


def _verdict(run: Mapping[str, Any]) -> dict[str, object]:
    measured = run["measured"]["slo_attainment"]
    words = f"{measured:.1%} of {run['measured']['num_requests']} requests were served within their SLO"
    simulated = run.get("simulated")
    if simulated is not None:
        difference = 100 * (simulated["slo_attainment"] - measured)
        words += f"; the simulator said {simulated['slo_attainment']:.1%} ({difference:+.1f} points)."
    wanted = run.get("required_attainment", 0.99)
    return {"verdict": words, "verdict_good": measured >= wanted}


def _row(name: str, run: Mapping[str, Any]) -> list[str]:
    measured, slo_s = run["measured"]["models"][name], run["models"][name].get("slo_s")
    simulated = run["simulated"]["models"][name]["slo_attainment"] if run.get("simulated") else None
    share = measured["slo_attainment"]
    return [
        name,
        str(measured["num_requests"]),
        f"{measured['rate_rps']:.2f}",
        "none" if slo_s is None else f"{slo_s:.3g}",
        "" if simulated is None else f"{simulated:.1%}",
        f"{share:.1%}",
        "" if simulated is None else f"{100 * (simulated - share):+.1f} points",
        _seconds(measured["p50_s"]),
        _seconds(measured["p99_s"]),
    ]


def _seconds(value: float | None) -> str:
    return "none served" if value is None else f"{value:.3f}"


def _latency_chart(name: str, record: RunRecord) -> Markup:
    slo_s = record.run["models"][name].get("slo_s")
    lines = [_latency_line("measured", name, record.measured)]
    if record.simulated is not None:
        lines.append(_latency_line("simulated", name, record.simulated))
    longest_s = max((float(line.x[-1]) for line in lines if len(line.x)), default=1.0)
    x_max = max(longest_s, 1.1 * slo_s if slo_s is not None else 0.0) or 1.0
    axes = Axes("seconds", "share", x_max, 1.0, mark_x=slo_s, mark_label="SLO")
    return Markup(line_chart(f"Latency of {name}", axes, lines))


def _latency_line(kind: str, name: str, rows: Rows) -> Line:
    of_model = rows.model == name
    latency_s = rows.latency_s[of_model]
    x, y = cdf(latency_s[~np.isnan(latency_s)], int(of_model.sum()))
    return Line(kind, kind, x, y)


def _traffic_chart(name: str, record: RunRecord) -> Markup:
    rows = record.measured
    end_s = max(float(rows.arrival_s.max(initial=0.0)), 1.0)
    counts, edges = np.histogram(rows.arrival_s[rows.model == name], bins=60, range=(0.0, end_s))
    rates = counts / (edges[1] - edges[0])
    axes = Axes("seconds", "requests/s", end_s, max(float(rates.max()), 1.0))
    return Markup(line_chart(f"Arrivals of {name}", axes, [Line("arrivals", "arrivals", edges[:-1], rates)]))
