"""Sections 3 to 6, attainment against what was swept, and 11, against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from statmux.reporting.figures import Figure, Mark, Series
from statmux.reporting.layout import Section, Table
from statmux.reporting.words import attainment, share

Document = Mapping[str, Any]
_TITLES = {
    "devices": "Attainment against devices",
    "rate_scale": "Attainment against rate",
    "slo_scale": "Attainment against the SLO",
    "cv_scale": "Attainment against burstiness",
}
_EXAMPLES = {"devices": "8..64", "rate_scale": "0.5..4", "slo_scale": "0.5..4", "cv_scale": "1..8"}
_Y_LABEL = "SLO attainment (%)"


def sweep_sections(document: Document) -> tuple[Section, ...]:
    """One a canonical axis, in that order, whether it was swept or not."""
    swept = {one["axis"]: one for one in document["sweeps"]}
    return tuple(_section(axis, swept.get(axis), document) for axis in _TITLES)


def cost_section(document: Document) -> Section:
    """Every cluster that was tried, with what is best at each cost."""
    tried = _clusters(document)
    title = "Cost against attainment"
    if not tried:
        return Section(title, absent="No other cluster was tried: sweep the devices, or minimize the cost.")
    if all(point["cost_per_hour"] is None for points in tried.values() for point in points):
        return Section(title, absent="The node classes have no cost_per_hour; devices stand for it above.")
    series = [_cloud(name, points) for name, points in tried.items()]
    every = [point for points in tried.values() for point in points]
    figure = Figure(
        "SLO attainment against cost",
        "cost of the cluster per hour",
        _Y_LABEL,
        (*series, _frontier(every)),
        marks=_asked(document),
    )
    return Section(
        title, figures=(figure,), tables=(_smallest_table(document),) if document["minimized"] else ()
    )


def _section(axis: str, sweep: Document | None, document: Document) -> Section:
    title = _TITLES[axis]
    lines = tuple(f"{one['curve']}: {one['sentence']}." for one in document["minimized"] or ())
    lines = lines if axis == "devices" else ()
    if sweep is None or not any(curve["points"] for curve in sweep["curves"]):
        if axis == "rate_scale" and any(one["probes"] for one in document["head_room"]):
            return _room_section(title, document)
        return Section(
            title, absent=f"Not swept: ask `statmux capacity --sweep {axis}={_EXAMPLES[axis]}`.", lines=lines
        )
    figure = Figure(
        f"SLO {title[0].lower()}{title[1:]}",
        f"{sweep['label']} ({sweep['unit']})" if sweep["unit"] else sweep["label"],
        _Y_LABEL,
        tuple(_line(curve["curve"], curve["points"], "value") for curve in sweep["curves"]),
        marks=(*_asked(document), Mark(float(sweep["base_value"]), "now")),
        x_log=bool(sweep["is_log"]),
    )
    note = f"{sweep['note'][:1].upper()}{sweep['note'][1:]}." if sweep["note"] else ""
    curves = [(curve["curve"], curve["points"]) for curve in sweep["curves"]]
    table = _table(curves, "value", axis.replace("_", " "), document)
    return Section(title, note=note, figures=(figure,), tables=(table,), lines=lines)


def _room_section(title: str, document: Document) -> Section:
    """The tries of the search for head-room, where no sweep was asked."""
    found = [
        (one["curve"], sorted(one["probes"], key=lambda p: p["rate_scale"])) for one in document["head_room"]
    ]
    figure = Figure(
        f"SLO {title[0].lower()}{title[1:]}",
        "rate, as a multiple of the trace",
        _Y_LABEL,
        tuple(_line(name, probes, "rate_scale") for name, probes in found if probes),
        marks=(*_asked(document), Mark(1.0, "now")),
        x_log=True,
    )
    note = "Points tried in the search for head-room; no sweep was asked."
    table = _table(found, "rate_scale", "rate scale", document)
    return Section(title, note=note, figures=(figure,), tables=(table,))


def _line(name: str, points: Sequence[Document], key: str) -> Series:
    """Points without a plan are left out of the curve: nothing was attained there, nor missed."""
    has_band = any(one.get("low") is not None for one in points)
    planned = [None if one.get("infeasible") else one["slo_attainment"] for one in points]
    return Series(
        name if any(value is not None for value in planned) else f"{name} (no plan)",
        [one[key] for one in points],
        _percent(planned),
        low=_percent(one.get("low") for one in points) if has_band else None,
        high=_percent(one.get("high") for one in points) if has_band else None,
    )


def _percent(values: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    return 100 * np.array([np.nan if value is None else value for value in values], dtype=float)


def _asked(document: Document) -> tuple[Mark, ...]:
    wanted = document["settings"].get("required_attainment")
    return () if wanted is None else (Mark(100 * wanted, f"{100 * wanted:g} % asked", axis="y"),)


def _table(
    curves: Sequence[tuple[str, Sequence[Document]]], key: str, heading: str, document: Document
) -> Table:
    """A row a value, a column a curve."""
    is_estimated = document["provenance"]["is_estimated"]
    by_value: dict[float, dict[str, str]] = {}
    for name, points in curves:
        for point in points:
            words = "no plan" if point.get("infeasible") else attainment(point, is_estimated)
            by_value.setdefault(point[key], {})[name] = words
    names = [name for name, _ in curves]
    rows = [(f"{value:g}", *(by_value[value].get(name, "–") for name in names)) for value in sorted(by_value)]
    return Table((heading, *names), tuple(rows), caption="SLO attainment")


def _clusters(document: Document) -> dict[str, list[Document]]:
    """Points on clusters of several sizes, by curve."""
    found: dict[str, list[Document]] = {}
    for sweep in document["sweeps"]:
        if sweep["axis"] == "devices":
            for curve in sweep["curves"]:
                found.setdefault(curve["curve"], []).extend(curve["points"])
    for one in document["minimized"] or ():
        found.setdefault(one["curve"], []).extend(one["probes"])
    return {name: points for name, points in found.items() if points}


def _cloud(name: str, points: Sequence[Document]) -> Series:
    places = {(p["cost_per_hour"], p["slo_attainment"]) for p in points if p["cost_per_hour"] is not None}
    x, y = np.array(sorted(places), dtype=float).reshape(-1, 2).T
    return Series(name, x, 100 * y, style="points")


def _frontier(points: Sequence[Document]) -> Series:
    """The highest attainment at a cost or below."""
    places = sorted(
        (p["cost_per_hour"], p["slo_attainment"]) for p in points if p["cost_per_hour"] is not None
    )
    x, y = np.array(places, dtype=float).reshape(-1, 2).T
    return Series("best at this cost", x, 100 * np.maximum.accumulate(y), style="steps")


def _smallest_table(document: Document) -> Table:
    rows = tuple(
        (
            one["curve"],
            str(probe["num_devices"]),
            "–" if probe["cost_per_hour"] is None else f"{probe['cost_per_hour']:.4g}",
            share(probe["slo_attainment"]),
            "yes" if probe["holds"] else "no",
        )
        for one in document["minimized"]
        for probe in one["probes"]
    )
    return Table(
        ("plan", "devices", "cost per hour", "SLO attainment", "holds"), rows, caption="Clusters tried"
    )
