"""The document of a capacity study as text: verdict, head-room, one table a sweep, the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from statmux.render import marked, milliseconds, percent, table

_BARS = "▁▂▃▄▅▆▇█"
# Time to the first token, and of each after it.
PACES = ("TTFT", "TPOT")
_PLAIN_BARS = "_.:-=+*#"


def capacity_text(document: dict[str, Any], *, has_blocks: bool = True) -> str:
    """has_blocks: the terminal shows block characters, else sparklines are ASCII."""
    is_estimated = document["provenance"]["is_estimated"]
    parts = [_header(document), _base_table(document, is_estimated)]
    parts += [_sweep_table(sweep, is_estimated, has_blocks) for sweep in document["sweeps"]]
    parts += [_evidence(one, is_estimated) for one in document["minimized"] or ()]
    if is_estimated:
        parts.append("~: rests on an estimated profile")
    return "\n\n".join(parts)


def sparkline(values: Sequence[float], *, has_blocks: bool = True) -> str:
    """One character a value, from the least to the greatest of them."""
    bars = _BARS if has_blocks else _PLAIN_BARS
    low, high = min(values), max(values)
    span = high - low
    return "".join(bars[round((value - low) / span * 7) if span > 0 else 7] for value in values)


def _header(document: dict[str, Any]) -> str:
    traffic = document["traffic"]
    files = ", ".join(f"{name} {one['sha256'][:12]}" for name, one in document["inputs"].items())
    return "\n".join(
        (
            f"{document['deployment']} ({files})",
            f"{traffic['num_requests']} requests in {traffic['duration_s']:.1f} s, "
            f"{traffic['rate_rps']:.1f} requests/s",
            f"verdict: {document['verdict']['sentence']}",
        )
    )


def _base_table(document: dict[str, Any], is_estimated: bool) -> str:
    paces = [f"{kind} p99" for kind in PACES] if any(one["tokens"] for one in document["base"]) else []
    rooms = {one["curve"]: one for one in document["head_room"]}
    rows = [
        (
            one["curve"],
            one["num_devices"],
            marked(_attained(one), is_estimated=is_estimated),
            marked(milliseconds(one["p99_s"]), is_estimated=is_estimated),
            *(marked(milliseconds(_pace(one, kind)), is_estimated=is_estimated) for kind in PACES if paces),
            marked(_head_room(rooms.get(one["curve"])), is_estimated=is_estimated),
        )
        for one in document["base"]
    ]
    text = table(("plan", "devices", "SLO attainment", "p99", *paces, "head-room"), rows)
    lines = [
        f"{one['curve']}: busiest is {one['bottleneck']['group']} "
        f"({one['bottleneck']['utilisation']:.0%}); {one['bottleneck']['sentence']}"
        for one in document["base"]
        if one["bottleneck"] is not None
    ]
    lines += [
        f"{one['curve']}: no plan: {one['infeasible']}" for one in document["base"] if one["infeasible"]
    ]
    return "\n".join([text, *lines])


def _pace(point: dict[str, Any], kind: str) -> float | None:
    return None if point["tokens"] is None else point["tokens"][kind.lower()]["p99_s"]


def _head_room(room: dict[str, Any] | None) -> str | None:
    if room is None or room["rate_scale"] is None:
        return None
    more = "or more, " if room["is_at_least"] else ""
    return f"x {room['rate_scale']:.3g} ({more}{room['rate_rps']:.4g}/s)"


def _attained(point: dict[str, Any]) -> str:
    if point["infeasible"] is not None:
        return "no plan"
    text = percent(point["slo_attainment"]) or ""
    if point["low"] is None:
        return text
    return f"{text} ({100 * point['low']:.2f} .. {100 * point['high']:.2f})"


def _sweep_table(sweep: dict[str, Any], is_estimated: bool, has_blocks: bool) -> str:
    curves = sweep["curves"]
    title = f"{sweep['label']}: {sweep['note']}"
    if not curves:
        return f"{title}\nno curve: a given plan has its own devices"
    has_cost = any(point["cost_per_hour"] is not None for point in curves[0]["points"])
    has_cost = has_cost and sweep["axis"] == "devices"
    rows = []
    for points in zip(*(curve["points"] for curve in curves), strict=True):
        cells = [f"{points[0]['value']:.4g}"] if sweep["axis"] != "devices" else [points[0]["value"]]
        cells += [points[0]["cost_per_hour"]] if has_cost else []
        cells += [marked(_attained(point), is_estimated=is_estimated) for point in points]
        rows.append(cells)
    names = [curve["curve"] for curve in curves]
    headings = [sweep["axis"], *(["cost/h"] if has_cost else []), *names]
    width = max(map(len, names))
    lines = [
        f"{name:{width}}  {sparkline([p['slo_attainment'] for p in curve['points']], has_blocks=has_blocks)}"
        for name, curve in zip(names, curves, strict=True)
    ]
    return "\n".join([title, table(headings, rows), *lines])


def _evidence(one: dict[str, Any], is_estimated: bool) -> str:
    has_cost = any(probe["cost_per_hour"] is not None for probe in one["probes"])
    rows = [
        (
            probe["order"],
            probe["num_devices"],
            *([probe["cost_per_hour"]] if has_cost else []),
            marked(_attained(probe), is_estimated=is_estimated),
            "yes" if probe["holds"] else "no",
            probe["seconds"],
            "confirms" if probe["is_confirmation"] else "",
        )
        for probe in one["probes"]
    ]
    cost = ("cost/h",) if has_cost else ()
    text = table(("try", "devices", *cost, "SLO attainment", "holds", "seconds", ""), rows)
    lines = [f"least {one['objective']} by {one['curve']}: {one['sentence']}", text]
    if one["objective"] == "cost":
        lines[0] = f"least cost by {one['curve']}: {one['sentence']}"
    return "\n".join(lines)
