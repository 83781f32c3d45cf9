"""What moves from another plan, and whether it pays, for `--diff` and `--current`: documents and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statmux.render import percent, table
from statmux.reporting.words import listed
from vocabulary.units import format_bytes

if TYPE_CHECKING:
    from placement.difference import Difference
    from placement.replan import Option, Replan


def difference_document(found: Difference, *, old: str) -> dict[str, Any]:
    """Seconds are estimates; transfer_seconds: all moves at once, loading_seconds: group after group."""
    return {
        "old": old,
        "same_groups": [{"old": earlier, "new": now} for earlier, now in found.same],
        "opened_groups": list(found.opened),
        "closed_groups": list(found.closed),
        "num_kept_replicas": len(found.kept),
        "kept": [{"model": model, "group": group} for model, group in found.kept],
        "dropped": [{"model": model, "group": group} for model, group in found.dropped],
        "moves": [
            {
                "model": move.model,
                "group": move.group,
                "origin": move.origin,
                "num_bytes": move.num_bytes,
                "seconds": move.seconds,
            }
            for move in found.moves
        ],
        "transfer_bytes": found.together.num_bytes,
        "transfer_seconds": found.together.seconds,
        "transfer_bound_seconds": found.together.lower_bound_s,
        "loading_seconds": sum(found.loading_s.values()),
        "loading_seconds_by_group": dict(found.loading_s),
    }


def difference_text(document: dict[str, Any]) -> str:
    """What stays, what moves, what it takes."""
    if not document["moves"] and not document["dropped"] and not document["opened_groups"]:
        return f"nothing moves: {document['old']} is the same placement"
    renamed = [f"{one['old']} as {one['new']}" for one in document["same_groups"] if one["old"] != one["new"]]
    stay = listed([one["new"] for one in document["same_groups"]]) or "none"
    lines = [
        f"from {document['old']}: {document['num_kept_replicas']} replicas stay, "
        f"{len(document['moves'])} move, {len(document['dropped'])} are dropped",
        f"groups that stay: {stay}" + (f" ({listed(renamed)})" if renamed else ""),
    ]
    if document["opened_groups"] or document["closed_groups"]:
        opened, closed = (listed(document[key]) or "none" for key in ("opened_groups", "closed_groups"))
        lines.append(f"groups that open: {opened}; that close: {closed}")
    if document["dropped"]:
        dropped = [f"{one['model']} on {one['group']}" for one in document["dropped"]]
        lines.append(f"dropped: {listed(dropped)}")
    rows = [
        (one["model"], one["group"], one["origin"], format_bytes(one["num_bytes"]), shown_s(one["seconds"]))
        for one in document["moves"]
    ]
    total = (
        f"all at once {format_bytes(document['transfer_bytes'])} in {shown_s(document['transfer_seconds'])} "
        f"(no way is quicker than {shown_s(document['transfer_bound_seconds'])}); "
        f"group after group {shown_s(document['loading_seconds'])}"
    )
    moves = [table(("model", "to", "from", "bytes", "alone"), rows, left=3), total] if rows else []
    return "\n".join([*lines, *(["", *moves] if moves else [])])


def replan_document(found: Replan, *, horizon_s: float, old: str) -> dict[str, Any]:
    """Requests in time over the horizon, against keeping the old plan."""
    return {
        "old": old,
        "horizon_s": horizon_s,
        "is_move": found.is_move,
        "chosen": found.chosen.name,
        "options": [_option(one) for one in found.options],
    }


def replan_text(document: dict[str, Any]) -> str:
    """Every option weighed; the first is taken."""
    best = document["options"][0]
    horizon = shown_s(document["horizon_s"])
    if document["is_move"] and best["net"] <= 0:
        verdict = f"{document['old']} cannot stay: it does not fit any more, or breaks a rule"
    elif document["is_move"]:
        verdict = f"moving pays: {best['net']:,.0f} more requests in time within {horizon}"
    else:
        verdict = f"{document['old']} is kept: no move pays within {horizon}"
    rows = [
        (
            one["name"],
            percent(one["slo_attainment"]),
            one["num_loading"],
            shown_s(one["moving_s"]),
            f"{one['gained']:+,.0f}",
            f"{-one['lost']:+,.0f}" if one["lost"] else "0",
            f"{one['net']:+,.0f}",
        )
        for one in document["options"]
    ]
    headings = ("option", "attainment", "groups", "loading", "gained", "lost while loading", "net")
    return f"{verdict}\n\n{table(headings, rows)}"


def shown_s(seconds: float) -> str:
    """With the unit that people would say."""
    if seconds >= 3600:
        return f"{seconds / 3600:.4g} h"
    if seconds >= 120:
        return f"{seconds / 60:.3g} min"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.1f} ms"


def _option(one: Option) -> dict[str, Any]:
    return {
        "name": one.name,
        "slo_attainment": one.slo_attainment,
        "num_loading": one.num_loading,
        "moving_s": one.moving_s,
        "gained": one.gained,
        "lost": one.lost,
        "net": one.net,
    }
