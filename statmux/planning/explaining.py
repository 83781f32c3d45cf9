"""Why a model sits where it does, for `--explain`: as a document and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from statmux.render import marked, milliseconds, percent, table
from vocabulary.units import format_bytes

if TYPE_CHECKING:
    from placement.why import Change
    from placement.why_there import Explanation, Seat


def explanation_document(found: Explanation, *, estimated: bool) -> dict[str, Any]:
    """Changes are requests in time: of all models, and of this one."""
    following = found.next_replica
    return {
        "model": found.model,
        "num_requests": found.num_requests,
        "num_good": found.num_good,
        "slo_s": found.slo_s,
        "impossible": found.impossible or None,
        "estimated": estimated,
        "next_replica": None if following is None else following.group,
        "groups": [_seat(seat) for seat in found.seats],
    }


def explanation_text(document: dict[str, Any]) -> str:
    """A sentence or two, then a row for each group."""
    num_good, num_requests = document["num_good"], document["num_requests"]
    share = marked(
        percent(num_good / num_requests if num_requests else 1.0), is_estimated=document["estimated"]
    )
    held = [one["id"] for one in document["groups"] if one["is_held"]]
    on = f"on {', '.join(held)}" if held else "on no group"
    slo = "" if document["slo_s"] is None else f" (SLO {milliseconds(document['slo_s'])})"
    lines = [f"{document['model']}{slo} is {on}: {share} of its {num_requests} requests are in time"]
    told = (document["impossible"], _drop(document), _elsewhere(document), _next(document))
    lines += [line for line in told if line]
    headings = ("group", "mesh", "alone", "room", "drop", "add", "move", "exchange")
    rows = [_row(one, document["slo_s"]) for one in document["groups"]]
    foot = (
        "requests in time gained or lost, of all models (of this one): without the replica here; with one\n"
        "more here, whatever the memory; with the least missed replica moved here; in another model's place"
    )
    return "\n".join([*lines, "", table(headings, rows, left=2), foot])


def _spare(document: dict[str, Any]) -> dict[str, Any] | None:
    """The group whose replica is missed least."""
    held = [one for one in document["groups"] if one["is_held"]]
    return max(held, key=lambda one: one["drop"]["num_all"], default=None)


def _drop(document: dict[str, Any]) -> str:
    least = _spare(document)
    if least is None:
        return ""
    return f"least missed would be the replica on {least['id']}: {_change(least['drop'])} requests in time"


def _elsewhere(document: dict[str, Any]) -> str:
    """Whether the replica that is missed least would do better on another group."""
    spare = _spare(document)
    moves = [one for one in document["groups"] if one["move"] is not None]
    if spare is None or not moves:
        return ""
    best = max(moves, key=lambda one: one["move"]["num_all"])
    change = f"{_change(best['move'])} requests in time"
    if best["move"]["num_all"] <= 0:
        return f"no other place is better: moved to {best['id']}, the best, {change}"
    return f"moved from {spare['id']} to {best['id']}, {change}; {_room(best)}"


def _next(document: dict[str, Any]) -> str:
    best = next((one for one in document["groups"] if one["id"] == document["next_replica"]), None)
    if best is None:
        others = [one for one in document["groups"] if not one["is_held"]]
        if others and all(one["is_ruled_out"] for one in others):
            return "the rules of the deployment allow no further replica"
        return "no further replica would gain anything"
    gain = f"the next replica would gain most on {best['id']}: {_change(best['add'])} requests in time"
    return f"{gain}; {_room(best)}"


def _room(one: dict[str, Any]) -> str:
    """Whether there is, and what would make it."""
    if one["missing_bytes"] <= 0:
        return "there is room"
    text = f"{format_bytes(one['missing_bytes'])} are missing on stage {one['missing_stage']}"
    exchange = one["exchange"]
    if exchange is None:
        return text
    return f"{text}, {exchange['leaving']} would have to leave ({_change(exchange)})"


def _row(one: dict[str, Any], slo_s: float | None) -> tuple[object, ...]:
    room = "here" if one["is_held"] else None
    if one["missing_bytes"] is not None:
        short = f"-{format_bytes(one['missing_bytes'])} on stage {one['missing_stage']}"
        room = "yes" if one["missing_bytes"] <= 0 else short
    if one["is_ruled_out"]:
        room = "against the rules"
    exchange = one["exchange"]
    return (
        one["id"],
        one["mesh"],
        _alone(one["alone_s"], slo_s),
        room,
        *(None if one[key] is None else _change(one[key]) for key in ("drop", "add", "move")),
        None if exchange is None else f"{_change(exchange)} for {exchange['leaving']}",
    )


def _alone(seconds: float | None, slo_s: float | None) -> str | None:
    is_late = seconds is not None and slo_s is not None and seconds > slo_s * (1 + 1e-6)
    return f"{milliseconds(seconds)}, late" if is_late else milliseconds(seconds)


def _change(change: dict[str, Any]) -> str:
    own = "" if change["num_own"] == change["num_all"] else f" ({change['num_own']:+d})"
    return f"{change['num_all']:+d}{own}"


def _seat(seat: Seat) -> dict[str, Any]:
    exchange = seat.exchanged
    return {
        "id": seat.group,
        "mesh": f"{seat.config.tensor} x {seat.config.pipeline}",
        "is_held": seat.is_held,
        "is_ruled_out": seat.is_ruled_out,
        "alone_s": seat.alone_s,
        "missing_bytes": None if seat.room is None else seat.room.missing_bytes,
        "missing_stage": None if seat.room is None else seat.room.stage,
        "drop": _counts(seat.dropped),
        "add": _counts(seat.added),
        "move": _counts(seat.moved),
        "exchange": None
        if exchange is None
        else {"leaving": exchange.leaving, **_counts_of(exchange.change)},
    }


def _counts(change: Change | None) -> dict[str, int] | None:
    return None if change is None else _counts_of(change)


def _counts_of(change: Change) -> dict[str, int]:
    return {"num_all": change.num_all, "num_own": change.num_own}
