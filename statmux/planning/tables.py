"""The document of a plan as tables for people: attainment and its bounds, groups, models, what binds."""

from __future__ import annotations

from typing import Any

from statmux.render import marked, milliseconds, percent, table

MIB = 2**20


def plan_table(document: dict[str, Any]) -> str:
    """Header, attainment, groups, models, the binding constraint."""
    hashes = ", ".join(f"{name} {one['sha256'][:12]}" for name, one in document["inputs"].items())
    objective = document["objective"]
    sought = "" if objective == "slo_attainment" else f" for {objective}"
    binding = (
        "\n                    ".join(document["binding_constraints"]) or "none: every request is in time"
    )
    parts = [
        f"{document['deployment']} by {document['algorithm']}{sought} ({hashes})",
        f"{attainment_lines(document)}\n{_search_line(document)}",
        _group_table(document["groups"]),
        _model_table(document["models"], has_test=document["slo_attainment_test"] is not None),
        f"binding constraint: {binding}",
    ]
    return "\n\n".join(parts)


def attainment_lines(document: dict[str, Any]) -> str:
    """What is attained; below it, where they were asked for, what it is to be compared with."""
    test, gap = document["slo_attainment_test"], document["overfit_gap"]
    found = f"SLO attainment {_attained(document['slo_attainment'], document)}"
    found += "" if test is None else f", on other traffic {_attained(test, document)}"
    if gap is not None:
        found += f"; on traffic drawn anew {_points(-gap)}"
    return "\n".join([found, *_bound_lines(document)])


def _bound_lines(document: dict[str, Any]) -> list[str]:
    lines = []
    if document["attainment_without_memory"] is not None:
        reference = _attained(document["attainment_without_memory"], document)
        lines.append(
            f"without memory {reference}: this policy with every model on "
            f"{document['layout_without_memory']} (a reference, no bound)"
        )
    if document["bound"] is not None:
        why_not = "" if document["bound_is_exact"] else f"; {document['bound_why_not']}"
        lines.append(
            f"upper bound {_attained(document['bound'], document)} for any placement and policy: "
            f"a gap of {100 * document['bound_gap']:.2f} points ({document['bound_seconds']:.1f} s{why_not})"
        )
    return lines


def _search_line(document: dict[str, Any]) -> str:
    rate, requests = document["evaluations_per_second"], document["candidate_requests_per_second"]
    found = f"{document['num_evaluated']} placements simulated in {document['search_seconds']:.3f} s"
    return f"{found} ({rate:,.0f} a second, {requests / 1e6:,.1f} million requests a second)"


def _points(difference: float) -> str:
    return f"{100 * difference + 0.0:+.2f} points".replace("-0.00", "+0.00")


def _attained(share: float, document: dict[str, Any]) -> str | None:
    return marked(percent(share), is_estimated=document["estimated"])


def _group_table(groups: list[dict[str, Any]]) -> str:
    rows = [
        (
            one["id"],
            one["node"],
            span(one["devices"]),
            f"{one['tensor']} x {one['pipeline']}",
            len(one["models"]),
            f"{max(one['memory_bytes']) / MIB:,.0f} of {one['usable_bytes'] / MIB:,.0f}",
            percent(one["utilisation"]),
        )
        for one in groups
    ]
    return table(("group", "node", "devices", "mesh", "models", "MiB a device", "util"), rows, left=3)


def _model_table(models: dict[str, dict[str, Any]], *, has_test: bool) -> str:
    rows = [
        (
            name,
            one["rate_rps"],
            milliseconds(one["slo_s"]),
            one["replicas"],
            *(
                marked(percent(one[key]), is_estimated=one["estimated"])
                for key in ("slo_attainment", *(("slo_attainment_test",) if has_test else ()))
            ),
            marked(milliseconds(one["p99_s"]), is_estimated=one["estimated"]),
            one["bottleneck"],
        )
        for name, one in models.items()
    ]
    test = ("other traffic",) if has_test else ()
    headings = ("model", "rate /s", "SLO", "replicas", "predicted attainment", *test, "p99", "bottleneck")
    return table(headings, rows)


def span(devices: list[str]) -> str:
    """First and last."""
    return devices[0] if len(devices) == 1 else f"{devices[0]} .. {devices[-1]}"
