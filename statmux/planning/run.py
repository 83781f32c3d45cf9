"""One `statmux plan` from its words to what the user sees: prepared, searched, weighed, shown, written."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statmux.planning import bounding, remedies
from statmux.planning.asked import DEFAULT_HORIZON_S, Asked, Prepared, prepare
from statmux.planning.document import plan_document
from statmux.planning.explaining import explanation_document, explanation_text
from statmux.planning.moving import (
    difference_document,
    difference_text,
    network_of,
    replan_document,
    replan_text,
)
from statmux.planning.tables import plan_table
from statmux.render import Console
from vocabulary.errors import Infeasible

if TYPE_CHECKING:
    from placement.search import Found
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace

INTERRUPTED_EXIT_CODE = 130


def run_plan(asked: Asked, console: Console) -> int:
    """The exit code. Raises InvalidInput before searching, Infeasible after saying what would be enough."""
    from simulator.fast import load_compiler
    from vocabulary.formats.disk import write_plan

    load_compiler()
    prepared = prepare(asked)
    for sentence in prepared.remarks:
        console.say(sentence)
    found = _search(asked, prepared, console)
    found, moves = _weighed(asked, prepared, found)
    made = _planned(asked, prepared, found)
    if asked.out is not None:
        write_plan(asked.out, made)
    document = _document(asked, prepared, found, made) | moves | {"next": _next(asked)}
    document |= _asked_for(asked, prepared, made, document, console)
    verdict = _verdict(asked, prepared, document, console) if found.is_complete else None
    document |= remedies.FEASIBLE if verdict is None else verdict.document
    if asked.plot is not None:
        _draw(asked.plot, made, prepared, document)
    console.result(document, lambda: plan_text(document))
    _say_next(console, document)
    if not found.is_complete:
        console.warn("interrupted: this is the best placement so far")
        return INTERRUPTED_EXIT_CODE
    if verdict is not None:
        raise verdict.error
    return 0


def plan_text(document: dict[str, Any]) -> str:
    """All tables that were asked for."""
    parts = [plan_table(document)]
    parts += [explanation_text(one) for one in document["explanations"] or ()]
    if document["replan"] is not None:
        parts.append(replan_text(document["replan"]))
    if document["difference"] is not None:
        parts.append(difference_text(document["difference"]))
    return "\n\n".join(parts)


def _search(asked: Asked, prepared: Prepared, console: Console) -> Found:
    from placement.search import search

    try:
        with console.progress("searching") as progress:
            return search(
                prepared.deployment,
                prepared.train,
                algorithm=asked.algorithm,
                trim_s=asked.trim_s,
                progress=_Shown(progress).show,
                time_budget_s=asked.time_budget_s,
            )
    except Infeasible as error:
        verdict = remedies.without_plan(error, prepared.deployment, console)
        if not console.is_table:
            console.result({"deployment": prepared.deployment.name, **verdict.document}, lambda: "")
        raise verdict.error from error


class _Shown:
    """Reports of a search as the line that progress shows."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._start_s = time.monotonic()

    def show(self, report: Any) -> None:
        best = "" if report.best_value is None else f", best {report.best_value:.2%}"
        elapsed_s = time.monotonic() - self._start_s
        rate = f", {report.num_evaluated / elapsed_s:,.0f} evaluations/s" if elapsed_s > 0.5 else ""
        self._progress.step(report.num_evaluated, note=f"{report.phase}{best}{rate}")


def _weighed(asked: Asked, prepared: Prepared, found: Found) -> tuple[Found, dict[str, Any]]:
    """What was found on the devices where least has to move, or what is there already; and why."""
    if prepared.old is None:
        return found, {}
    from placement.difference import difference
    from placement.replan import replan
    from placement.replan_devices import with_fewest_moves
    from resharding.move_costs import Store

    deployment, old = prepared.deployment, prepared.old.placement
    network, store = network_of(deployment.cluster), Store(asked.store_bytes_per_s)
    name = str(prepared.old.path)
    if asked.current is None:
        placement = with_fewest_moves(old, found.placement, deployment=deployment)
        changed = difference(old, placement, deployment=deployment, network=network, store=store)
        return replace(found, placement=placement), {"difference": difference_document(changed, old=name)}
    horizon_s = DEFAULT_HORIZON_S if asked.horizon_s is None else asked.horizon_s
    weighed = replan(
        old,
        deployment,
        prepared.train,
        horizon_s=horizon_s,
        network=network,
        store=store,
        restart_s=asked.restart_s,
        proposals={"search": found.placement},
    )
    return replace(found, placement=weighed.chosen.placement), {
        "replan": replan_document(weighed, horizon_s=horizon_s, old=name),
        "difference": difference_document(weighed.chosen.difference, old=name),
    }


def _planned(asked: Asked, prepared: Prepared, found: Found) -> Plan:
    from placement.search import planned

    made = planned(found, prepared.deployment, prepared.train, trim_s=asked.trim_s)
    return replace(made, inputs=_inputs(deployment=asked.deployment, trace=asked.trace))


def _document(asked: Asked, prepared: Prepared, found: Found, made: Plan) -> dict[str, Any]:
    tested = None if prepared.test is None else _predicted(made, prepared.test, asked, prepared)
    return plan_document(made, prepared.deployment, prepared.train, tested=tested, found=found, out=asked.out)


def _predicted(made: Plan, trace: Trace, asked: Asked, prepared: Prepared) -> dict[str, Any]:
    from placement.explain import predict
    from simulator.fast_or_events import outcomes_of

    outcomes = outcomes_of(made.placement, trace, deployment=prepared.deployment)
    return predict(made.placement, outcomes, deployment=prepared.deployment, trim_s=asked.trim_s)


def _asked_for(
    asked: Asked, prepared: Prepared, made: Plan, document: dict[str, Any], console: Console
) -> dict[str, Any]:
    """Bounds and explanations; and for programs what else would help."""
    found: dict[str, Any] = {}
    if asked.wants_bound:
        found |= bounding.bounds(
            prepared.deployment,
            prepared.train,
            document["slo_attainment"],
            trim_s=asked.trim_s,
            budget_s=asked.bound_budget_s,
            console=console,
        )
    if asked.explain:
        found["explanations"] = _explanations(asked, prepared, made, document)
    if not console.is_table:
        found["relaxations"] = _relaxations(prepared, made)
    return found


def _explanations(
    asked: Asked, prepared: Prepared, made: Plan, document: dict[str, Any]
) -> list[dict[str, Any]]:
    from placement.why_there import explain

    return [
        explanation_document(
            explain(
                model, made.placement, prepared.train, deployment=prepared.deployment, trim_s=asked.trim_s
            ),
            estimated=document["models"][model]["estimated"],
        )
        for model in dict.fromkeys(asked.explain)
    ]


def _relaxations(prepared: Prepared, made: Plan) -> list[dict[str, Any]]:
    from placement.why_missed import relaxations
    from simulator.fast_or_events import outcomes_of

    outcomes = outcomes_of(made.placement, prepared.train, deployment=prepared.deployment)
    return [
        {"kind": one.kind, "sentence": one.sentence, "num_gained": one.num_gained}
        for one in relaxations(made.placement, outcomes, deployment=prepared.deployment)
    ]


def _verdict(
    asked: Asked, prepared: Prepared, document: dict[str, Any], console: Console
) -> remedies.Verdict | None:
    broken = remedies.broken_promise(prepared.deployment, document, console)
    if broken is not None or asked.required_attainment is None:
        return broken
    return remedies.too_little(
        asked.required_attainment,
        document,
        prepared.deployment,
        prepared.train,
        algorithm=asked.algorithm,
        trim_s=asked.trim_s,
        console=console,
    )


def _draw(path: Path, made: Plan, prepared: Prepared, document: dict[str, Any]) -> None:
    from statmux.planning.picturing import picture_of
    from statmux.reporting.placement_picture import write_picture

    write_picture(path, picture_of(made.placement, prepared.deployment, document))
    document["plot"] = str(path)


def _inputs(**paths: Path | None) -> dict[str, object]:
    """What the plan was made from: names and SHA-256 of the files."""
    from hashlib import sha256

    from vocabulary.formats.disk import read_bytes

    return {
        name: {"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()}
        for name, path in paths.items()
        if path is not None
    }


def _next(asked: Asked) -> str | None:
    """The command that goes on from here."""
    return None if asked.out is None else f"statmux serve {asked.deployment} --plan {asked.out}"


def _say_next(console: Console, document: dict[str, Any]) -> None:
    for name in document["not_placed"]:
        console.warn(f"{name} has no place; its requests count as missed")
    for name, one in document["models"].items():
        wanted = one["attainment_wanted"]
        if wanted is not None and one["slo_attainment"] < wanted:
            console.warn(
                f"{name} is predicted to attain {one['slo_attainment']:.2%}, {wanted:.2%} is asked for"
            )
    if document["next"] is None:
        console.hint("keep it with --out plan.yaml")
    else:
        console.hint(f"next: {document['next']}")
