"""The report of a capacity study: does it hold, with how much room, where, and what the answer rests on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from statmux.render import marked, milliseconds
from statmux.reporting.assumption_sections import assumption_section
from statmux.reporting.comparison_sections import comparison_section
from statmux.reporting.evidence_sections import latency_section, reason_section, timeline_section
from statmux.reporting.layout import Fact, Page, Verdict, render
from statmux.reporting.placement_map import placement_section
from statmux.reporting.sweep_sections import cost_section, sweep_sections
from statmux.reporting.words import share

Document = Mapping[str, Any]


def capacity_page(document: Document) -> str:
    """A self-contained HTML page of what `statmux capacity` found (docs/conventions: its JSON document).

    Of `evidence` and `comparison`, parts that a document may lack, it says that they are absent, and why.
    """
    return render(capacity_layout(document))


def capacity_layout(document: Document) -> Page:
    """The page as values; `.figures` for files of their own."""
    base = base_point(document)
    return Page(
        title=document["deployment"],
        subtitle=_subtitle(document),
        verdict=_verdict(document, base),
        sections=(
            placement_section(document, base),
            *sweep_sections(document),
            latency_section(document, base),
            timeline_section(document),
            reason_section(document, base),
            comparison_section(document.get("comparison")),
            cost_section(document),
            assumption_section(document),
        ),
    )


def base_point(document: Document) -> Document:
    """The point as the deployment and the trace are, of the curve that the verdict is about."""
    return next(one for one in document["base"] if one["curve"] == document["verdict"]["curve"])


def _subtitle(document: Document) -> str:
    traffic, kinds = document["traffic"], document["cluster"]
    hosts = ", ".join(
        f"{one['count']} × {one['name']} with {one['devices_per_host']} {one['device_type']}" for one in kinds
    )
    return (
        f"{traffic['num_requests']} requests in {traffic['duration_s']:.4g} s "
        f"({traffic['rate_rps']:.4g} a second) on {hosts}"
    )


def _verdict(document: Document, base: Document) -> Verdict:
    is_good = document["verdict"]["holds"]
    answer = {True: "It holds", False: "It does not hold", None: "Simulated"}[is_good]
    return Verdict(answer, _sentence(document), is_good, tuple(_facts(document, base)))


def _sentence(document: Document) -> str:
    # Whether it holds stands above the sentence already.
    sentence = re.sub(r"^(holds|does not hold): ", "", document["verdict"]["sentence"])
    sentence = f"{sentence.rstrip('.')}."
    if document["provenance"]["is_estimated"]:
        sentence += " Numbers with ~ rest on estimated profiles."
    return sentence


def _facts(document: Document, base: Document) -> list[Fact]:
    is_estimated = document["provenance"]["is_estimated"]
    facts = [
        Fact(
            "SLO attainment",
            marked(share(base["slo_attainment"]), is_estimated=is_estimated) or "",
            _band(base),
        )
    ]
    if base["p99_s"] is not None:
        facts.append(
            Fact("p99 latency", milliseconds(base["p99_s"]) or "", f"p50 {milliseconds(base['p50_s'])}")
        )
    facts += [_room(one, is_estimated) for one in document["head_room"] if one["curve"] == base["curve"]]
    facts += [_smallest(one) for one in document["minimized"] or () if one["curve"] == base["curve"]]
    if base["bottleneck"] is not None:
        stuck = base["bottleneck"]
        facts.append(
            Fact("Bottleneck", f"{stuck['group']}, {share(stuck['utilisation'])} busy", stuck["sentence"])
        )
    return facts


def _band(base: Document) -> str:
    if base["low"] is None:
        return ""
    return f"95 %: {100 * base['low']:.1f} to {100 * base['high']:.1f}"


def _room(found: Document, is_estimated: bool) -> Fact:
    if found["rate_scale"] is None:
        return Fact("Head-room", "none", "no slower traffic that was tried holds either")
    at_least = "at least " * found["is_at_least"]
    value = f"{at_least}{'~' * is_estimated}×{found['rate_scale']:.3g}"
    return Fact("Head-room", value, f"of the rate, {found['rate_rps']:.4g} requests/s, on this plan")


def _smallest(found: Document) -> Fact:
    name = "Smallest cluster" if found["objective"] == "devices" else "Cheapest cluster"
    if not found["is_met"]:
        return Fact(name, "none found", found["remedy"] or found["sentence"])
    cost = "" if found["cost_per_hour"] is None else f", {found['cost_per_hour']:.4g} an hour"
    return Fact(name, f"{found['num_devices']} devices{cost}", f"attains {share(found['slo_attainment'])}")
