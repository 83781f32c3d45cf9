"""Section 12: what the numbers rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from statmux.reporting.layout import Section, Table

Document = Mapping[str, Any]


def assumption_section(document: Document) -> Section:
    """Settings in words, then inputs, versions and where the profiles come from."""
    return Section(
        "Assumptions, seeds, versions and provenance",
        lines=(
            *document.get("assumptions", ()),
            *_settings(document),
            *_policies(document),
            *_profiles(document),
        ),
        tables=tuple(table for table in (_inputs(document), _versions(document)) if table.rows),
    )


def _settings(document: Document) -> list[str]:
    settings = document["settings"]
    lines = []
    if settings.get("requirement"):
        lines.append(f"asked: {settings['requirement']}")
    if "seed" in settings:
        drawn = f", {settings['num_seeds']} draws of traffic" if settings.get("num_seeds", 1) > 1 else ""
        lines.append(f"seed {settings['seed']}{drawn}; the same inputs give the same numbers")
    if settings.get("interval"):
        lines.append(f"intervals and bands, {settings['interval']}")
    if settings.get("is_resampled"):
        lines.append("arrivals are drawn anew from the trace's rate and CV per window")
    if settings.get("plans_on_what_it_serves"):
        lines.append("plans are made on the very traffic that they are judged by, which flatters them")
    if settings.get("trim_s"):
        lines.append(f"{settings['trim_s']:g} s at either end of the trace do not count")
    lines.append("attainment counts every request: refused and unplaced ones are missed")
    return lines


def _policies(document: Document) -> list[str]:
    part = (document.get("evidence") or {}).get("provenance")
    if not part:
        return []
    overhead = f"fixed overhead of a request: {part['fixed_overhead_s'] * 1e3:g} ms"
    scale = part["stage_scale_per_stage"]
    return [part["policy"], overhead + (f"; every stage takes {scale:.2%} more a stage" if scale else "")]


def _profiles(document: Document) -> list[str]:
    kinds = document["provenance"]["profiles"]
    notes = (document.get("evidence") or {}).get("provenance", {}).get("profiles", {})
    lines = []
    for kind, count in Counter(kinds.values()).most_common():
        mark = "; numbers that rest on them are marked ~" * (kind == "estimated")
        said = sorted({one["note"] for one in notes.values() if one["kind"] == kind and one["note"]})
        words = f" ({'; '.join(said[:3])})" if said else ""
        lines.append(f"profiles: {count} {kind}{words}{mark}")
    return lines


def _inputs(document: Document) -> Table:
    rows = tuple((name, one["file"], one["sha256"][:16]) for name, one in document.get("inputs", {}).items())
    return Table(("input", "file", "sha256 begins"), rows)


def _versions(document: Document) -> Table:
    return Table(("software", "version"), tuple(document.get("versions", {}).items()))
