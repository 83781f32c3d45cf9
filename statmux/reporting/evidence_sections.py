"""Sections 7 to 9: how long requests took, how load went over time, why requests were missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from statmux.reporting.figures import Figure, Mark, Series
from statmux.reporting.layout import Section, Table
from statmux.reporting.words import listed, plain, seconds, share

Document = Mapping[str, Any]
# Models whose curves are drawn at once, and behind a button; the table has all.
_NUM_SHOWN, _NUM_FOLDED = 6, 12
_NUM_LINES = 6
_TOKEN_COLUMNS = ("TTFT attained", "TTFT p99 (s)", "TPOT attained", "TPOT p99 (s)")
_NO_EVIDENCE = "This document has no outcomes of single requests; make it again with this version."


def latency_section(document: Document, base: Document) -> Section:
    """A curve for every model, those that attain least first."""
    title = "Latency of every model"
    table = _model_table(document, base)
    curves = (document.get("evidence") or {}).get("cdf")
    if not curves:
        return Section(title, absent=_NO_EVIDENCE, tables=table)
    names = sorted(
        (name for name in curves if curves[name]["num_requests"]), key=lambda n: curves[n]["slo_attainment"]
    )
    shown = [figure for name in names[:_NUM_SHOWN] for figure in _figures_of(name, curves[name])]
    folded = names[_NUM_SHOWN : _NUM_SHOWN + _NUM_FOLDED]
    note = "Share of all requests of a model that were served within a time; refused ones never are."
    if len(names) > _NUM_SHOWN:
        note += f" The {_NUM_SHOWN} models that attain least come first."
    if len(names) > _NUM_SHOWN + _NUM_FOLDED:
        note += f" {len(names) - _NUM_SHOWN - _NUM_FOLDED} models are in the table only."
    return Section(
        title,
        note=note,
        figures=tuple(shown),
        folded=tuple(figure for name in folded for figure in _figures_of(name, curves[name])),
        tables=table,
    )


def _figures_of(name: str, curve: Document) -> list[Figure]:
    """Its latency, and how soon its tokens came where it generates."""
    figures = [latency_figure(name, {"simulated": curve})]
    for key, title in (("ttft", f"Time to the first token of {name}"), ("tpot", f"Time per token of {name}")):
        if key in curve:
            figures.append(latency_figure(name, {"simulated": curve[key]}, title=title))
    return figures


def latency_figure(name: str, curves: Mapping[str, Document], *, title: str = "") -> Figure:
    """Curves of one model by what they are (simulated, measured), with its SLO."""
    slo_s = next(iter(curves.values()))["slo_s"]
    series = [
        Series(label, curve["latency_s"], 100 * np.array(curve["share"], dtype=float), style="steps")
        for label, curve in curves.items()
    ]
    marks = () if slo_s is None else (Mark(slo_s, f"SLO {slo_s:.3g} s"),)
    return Figure(
        title or f"Latency of {name}",
        "time (s)" if title else "latency (s)",
        "requests served (%)",
        tuple(series),
        marks,
        y_range=(0, 101),
    )


def timeline_section(document: Document) -> Section:
    """Arrivals and misses, requests inside, and how busy the busiest stages were."""
    title = "Load over time"
    part = (document.get("evidence") or {}).get("timeline")
    if not part:
        return Section(title, absent=_NO_EVIDENCE)
    x = part["start_s"]
    series = (_steps("arrivals", x, part["arrivals_rps"]), _steps("missed", x, part["missed_rps"]))
    figures = [Figure("Arrivals", "time (s)", "requests per second", series)]
    inside = [_steps("waiting or running", x, part["in_system"])]
    if part["waiting"] is not None:
        inside.append(_steps("waiting", x, part["waiting"]))
    figures.append(Figure("Requests in the fleet", "time (s)", "requests", tuple(inside)))
    folded: list[Figure] = []
    if part["groups"]:
        figures.append(_busiest_figure(part))
        folded = [_stage_figure(part, group) for group in _busiest(part) if len(group["stages"]) > 1]
    note = f"Means over windows of {part['window_s']:.3g} s."
    note += f" {part['note'][:1].upper()}{part['note'][1:]}." if part["note"] else ""
    tables = (_stage_table(part),) if part["groups"] else ()
    return Section(title, note=note, figures=tuple(figures), folded=tuple(folded), tables=tables)


def reason_section(document: Document, base: Document) -> Section:
    """How many requests were missed for which reason, and whose."""
    title = "Why requests were missed"
    reasons = (document.get("evidence") or {}).get("reasons")
    if reasons is None:
        reasons = {reason: {"all models": count} for reason, count in base["missed"].items()}
    if not reasons:
        return Section(title, absent="None was: every request was served within its SLO.")
    totals = {reason: sum(by_model.values()) for reason, by_model in reasons.items()}
    ordered = sorted(totals, key=lambda reason: -totals[reason])
    bars = Series(
        "", [plain(reason) for reason in ordered], [totals[reason] for reason in ordered], style="bars"
    )
    figure = Figure("Requests missed, by reason", "reason", "requests", (bars,))
    rows = tuple((plain(reason), str(totals[reason]), _who(reasons[reason])) for reason in ordered)
    return Section(title, figures=(figure,), tables=(Table(("reason", "requests", "models"), rows),))


def _who(by_model: Mapping[str, int]) -> str:
    names = sorted(by_model, key=lambda name: -by_model[name])
    return listed([f"{name} {by_model[name]}" for name in names], most=8)


def _model_table(document: Document, base: Document) -> tuple[Table, ...]:
    if not base["models"]:
        return ()
    curves = (document.get("evidence") or {}).get("cdf", {})
    estimated = document["provenance"]["is_estimated"]
    has_tokens = any(_tokens(one) for one in base["models"].values())
    rows = []
    for name, one in base["models"].items():
        slo_s = curves.get(name, {}).get("slo_s")
        texts = [share(one["slo_attainment"]), seconds(one["p50_s"]), seconds(one["p99_s"])]
        texts += _token_texts(_tokens(one)) if has_tokens else []
        is_estimated = one.get("estimated", estimated)
        marked = [f"~{text}" if is_estimated and text != "–" else text for text in texts]
        rows.append((name, str(one["num_requests"]), "–" if slo_s is None else f"{slo_s:.3g}", *marked))
    columns = ("model", "requests", "SLO (s)", "SLO attainment", "p50 (s)", "p99 (s)")
    return (Table((*columns, *(_TOKEN_COLUMNS if has_tokens else ())), tuple(rows)),)


def _tokens(one: Document) -> Document | None:
    """How soon tokens came: studies have it apart, simulations beside the latencies."""
    return one.get("tokens") or (one if "ttft" in one else None)


def _token_texts(tokens: Document | None) -> list[str]:
    if tokens is None:
        return ["–"] * len(_TOKEN_COLUMNS)
    texts = []
    for found in (tokens["ttft"], tokens["tpot"]):
        texts += [share(found["slo_attainment"]), seconds(found["p99_s"])]
    return texts


def _steps(label: str, x: list[float], y: list[float]) -> Series:
    return Series(label, x, y, style="steps")


def _busiest(part: Document) -> list[Document]:
    return sorted(part["groups"], key=lambda group: -max(np.mean(stage) for stage in group["stages"]))[
        :_NUM_LINES
    ]


def _busiest_figure(part: Document) -> Figure:
    """Of the busiest groups, the stage that is busiest over all."""
    groups = _busiest(part)
    series = []
    for group in groups:
        stage = max(group["stages"], key=np.mean)
        series.append(_steps(group["id"], part["start_s"], [100 * value for value in stage]))
    few = len(groups) < len(part["groups"])
    title = f"Utilisation of the {len(groups)} busiest groups" if few else "Utilisation by group"
    title = f"Utilisation of {groups[0]['id']}" if len(groups) == 1 else title
    return Figure(title, "time (s)", "busiest stage (%)", tuple(series))


def _stage_figure(part: Document, group: Document) -> Figure:
    series = [
        _steps(f"stage {number}", part["start_s"], [100 * value for value in stage])
        for number, stage in enumerate(group["stages"])
    ]
    return Figure(f"Utilisation of the stages of {group['id']}", "time (s)", "busy (%)", tuple(series))


def _stage_table(part: Document) -> Table:
    """Stages from the first to the last, in one cell: there may be hundreds."""
    rows = []
    for group in part["groups"]:
        busy = [float(np.mean(stage)) for stage in group["stages"]]
        peak = max(max(stage) for stage in group["stages"])
        rows.append(
            (group["id"], share(max(busy)), share(peak), " ".join(f"{100 * one:.0f}" for one in busy))
        )
    return Table(("group", "busiest stage", "in its busiest window", "every stage (%)"), tuple(rows))
