"""One `statmux plan` from its words to what the user sees: prepared, searched, weighed, shown, written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statmux.planning import bounding, remedies
from statmux.planning.asked import Asked, Prepared, prepare
from statmux.planning.document import plan_document
from statmux.planning.explaining import explanation_document, explanation_text
from statmux.planning.moving import difference_text, replan_text
from statmux.planning.searching import Searched, minimised_document, minimised_text, search_for
from statmux.planning.tables import plan_table
from statmux.planning.weighing import weighed
from statmux.render import Console
from statmux.reporting.words import listed

if TYPE_CHECKING:
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace

INTERRUPTED_EXIT_CODE = 130
# Of the reference without memory, where nobody asked for it.
REFERENCE_BUDGET_S = 2.0


def run_plan(asked: Asked, console: Console) -> int:
    """The exit code. Raises InvalidInput before searching, Infeasible after saying what would be enough."""
    from simulator.fast import load_compiler
    from vocabulary.formats.disk import write_plan

    load_compiler()
    prepared = prepare(asked)
    for sentence in prepared.remarks:
        console.say(sentence)
    for sentence in prepared.warnings:
        console.warn(sentence)
    searched, moves = weighed(asked, prepared, search_for(asked, prepared, console))
    made = replace(searched.plan(), inputs=_inputs(deployment=asked.deployment, trace=asked.trace))
    if asked.out is not None:
        write_plan(asked.out, made)
    document = _document(asked, prepared, searched, made) | moves
    document |= _asked_for(asked, searched, made, document, console)
    verdict = _verdict(asked, searched, document, console) if searched.is_complete else None
    document |= remedies.FEASIBLE if verdict is None else verdict.document
    document["plot"] = None if asked.plot is None else str(asked.plot)
    console.result(document, lambda: plan_text(document))
    if asked.plot is not None:
        _draw(asked.plot, made, searched, document)
    _say_next(console, document)
    is_limited = asked.time_budget_s is not None or prepared.deployment.time_budget_s is not None
    if not searched.found.is_complete or not (is_limited or searched.is_complete):
        console.warn("interrupted: this is the best placement so far")
        return INTERRUPTED_EXIT_CODE
    if verdict is not None:
        raise verdict.error
    return 0


def plan_text(document: dict[str, Any]) -> str:
    """All tables that were asked for."""
    parts = [plan_table(document)]
    if document["minimised"] is not None:
        parts.append(minimised_text(document["minimised"]))
    parts += [explanation_text(one) for one in document["explanations"] or ()]
    if document["replan"] is not None:
        parts.append(replan_text(document["replan"]))
    if document["difference"] is not None:
        parts.append(difference_text(document["difference"]))
    return "\n\n".join(parts)


def _document(asked: Asked, prepared: Prepared, searched: Searched, made: Plan) -> dict[str, Any]:
    tested = None if prepared.test is None else _predicted(made, prepared.test, searched)
    document = plan_document(
        made, searched.deployment, searched.trace, tested=tested, found=searched.found, out=asked.out
    )
    following = None if asked.out is None else f"statmux serve {asked.deployment} --plan {asked.out}"
    return document | {"minimised": minimised_document(searched), "next": following}


def _predicted(made: Plan, trace: Trace, searched: Searched) -> dict[str, Any]:
    """For other traffic, as much faster as that planned for."""
    from placement.explain import predict
    from simulator.fast_or_events import outcomes_of

    scaled = replace(trace, arrival_s=trace.arrival_s / searched.rate_scale)
    outcomes = outcomes_of(made.placement, scaled, deployment=searched.deployment)
    return predict(made.placement, outcomes, deployment=searched.deployment, trim_s=searched.trim_s)


def _asked_for(
    asked: Asked, searched: Searched, made: Plan, document: dict[str, Any], console: Console
) -> dict[str, Any]:
    """The reference without memory, bounds and explanations; and for programs what else would help."""
    found: dict[str, Any] = {}
    if asked.wants_bound:
        found |= bounding.bounds(
            searched.deployment,
            searched.trace,
            document["slo_attainment"],
            trim_s=searched.trim_s,
            budget_s=asked.bound_budget_s,
            console=console,
        )
    elif bounding.is_reference_cheap(searched.deployment, searched.trace):
        found |= bounding.reference_keys(
            searched.deployment, searched.trace, trim_s=searched.trim_s, budget_s=REFERENCE_BUDGET_S
        )
    if asked.explain:
        found["explanations"] = _explanations(asked, searched, made, document)
    if not console.is_table:
        found["relaxations"] = _relaxations(searched, made)
    return found


def _explanations(
    asked: Asked, searched: Searched, made: Plan, document: dict[str, Any]
) -> list[dict[str, Any]]:
    from placement.why_there import explain

    settings = {"deployment": searched.deployment, "trim_s": searched.trim_s}
    return [
        explanation_document(
            explain(model, made.placement, searched.trace, **settings),
            estimated=document["models"][model]["estimated"],
        )
        for model in dict.fromkeys(asked.explain)
    ]


def _relaxations(searched: Searched, made: Plan) -> list[dict[str, Any]]:
    from placement.why_missed import relaxations
    from simulator.fast_or_events import outcomes_of

    outcomes = outcomes_of(made.placement, searched.trace, deployment=searched.deployment)
    return [
        {"kind": one.kind, "sentence": one.sentence, "num_gained": one.num_gained}
        for one in relaxations(made.placement, outcomes, deployment=searched.deployment)
    ]


def _verdict(
    asked: Asked, searched: Searched, document: dict[str, Any], console: Console
) -> remedies.Verdict | None:
    broken = remedies.broken_promise(searched.deployment, document, console)
    if broken is not None or asked.required_attainment is None:
        return broken
    budget_s = max(0.2, min(remedies.MAX_SEARCH_S, document["search_seconds"]))
    search = remedies.Search(searched.trace, asked.algorithm, searched.trim_s, budget_s)
    return remedies.too_little(asked.required_attainment, document, search, searched.deployment, console)


def _draw(path: Path, made: Plan, searched: Searched, document: dict[str, Any]) -> None:
    from statmux.planning.picturing import picture_of
    from statmux.reporting.placement_picture import write_picture

    write_picture(path, picture_of(made.placement, searched.deployment, document))


def _inputs(**paths: Path | None) -> dict[str, object]:
    """What the plan was made from: names and SHA-256 of the files."""
    from hashlib import sha256

    from vocabulary.formats.disk import read_bytes

    return {
        name: {"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()}
        for name, path in paths.items()
        if path is not None
    }


def _say_next(console: Console, document: dict[str, Any]) -> None:
    left_out = document["not_placed"]
    if left_out:
        verb = "has" if len(left_out) == 1 else "have"
        counted = sum(document["models"][name]["num_requests"] for name in left_out)
        missed = f"{counted} requests count as missed" if counted else "the trace has no request for them"
        console.warn(f"{listed(left_out)} {verb} no place; {missed}")
    is_short = False
    for name, one in document["models"].items():
        wanted = one["attainment_wanted"]
        if wanted is not None and one["slo_attainment"] < wanted:
            console.warn(
                f"{name} is predicted to attain {one['slo_attainment']:.2%}, {wanted:.2%} is asked for"
            )
            is_short = True
    if is_short and not document["smallest_changes"]:
        console.hint("`statmux capacity --minimize devices` says how many devices would be enough")
    if document["next"] is None:
        console.hint("keep it with --out plan.yaml")
    else:
        console.hint(f"next: {document['next']}")
