"""An infeasible fleet: exit code 3, with the smallest changes that would make it feasible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statmux.render import Console
from vocabulary.errors import Infeasible

if TYPE_CHECKING:
    from placement.capacity.results import Requirement
    from placement.feasible_changes import Reach, Remedy
    from vocabulary.deployment import Deployment
    from vocabulary.trace import Trace

# A search of a change takes so long at most.
MAX_SEARCH_S = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a fleet is infeasible, and what alone would be enough."""

    error: Infeasible
    changes: tuple[Remedy, ...]

    @property
    def document(self) -> dict[str, Any]:
        """Keys of the plan's document."""
        changes = [
            {
                "kind": one.kind,
                "what": one.what,
                "before": one.before,
                "after": one.after,
                "sentence": one.sentence,
            }
            for one in self.changes
        ]
        return {"infeasible": self.error.message, "smallest_changes": changes}


FEASIBLE: dict[str, Any] = {"infeasible": None, "smallest_changes": []}


def without_plan(error: Infeasible, deployment: Deployment, console: Console) -> Verdict:
    """For a search that found nothing: the same error, with what would be enough in its hint."""
    from placement.feasible_changes import Reach, can_hold

    found = () if can_hold(deployment) else _changes(deployment, can_hold, console, reach=Reach())
    hint = _hint(found) or error.hint
    return Verdict(Infeasible(error.message, where=error.where, hint=hint), found)


def broken_promise(deployment: Deployment, document: dict[str, Any], console: Console) -> Verdict | None:
    """If an SLO that a model asks to be met is one that nothing can meet, or if nothing is in time."""
    from placement.feasible_changes import Reach, can_be_in_time
    from placement.why_limits import impossible_slo

    texts = {index: impossible_slo(deployment, index) for index in range(len(deployment.models))}
    asked = [index for index, model in enumerate(deployment.models) if texts[index] and model.slo.attainment]
    is_nothing = document["slo_attainment"] == 0.0 and document["num_requests"] > 0
    if is_nothing and not asked:
        asked = [index for index, text in texts.items() if text]
    if not asked:
        return None
    found = _changes(deployment, lambda changed: can_be_in_time(changed, asked), console, reach=Reach())
    more = f" (and {len(asked) - 1} more models)" if len(asked) > 1 else ""
    hint = _hint(found) or "raise slo.latency_ms"
    return Verdict(Infeasible(f"{texts[asked[0]]}{more}: no placement can help", hint=hint), found)


@dataclass(frozen=True, slots=True)
class Search:
    """How a changed deployment is searched; budget_s: for each of some twenty."""

    trace: Trace
    algorithm: str | None
    trim_s: float
    budget_s: float = 1.0


def too_little(
    wanted: float, document: dict[str, Any], search: Search, deployment: Deployment, console: Console
) -> Verdict | None:
    """If the plan attains less than is required: what would be enough, found by searching again."""
    from placement.capacity.results import Requirement

    attained = document["slo_attainment"]
    if attained >= wanted:
        return None
    message = f"the plan attains {attained:.2%}, {wanted:.2%} is required"
    error = Infeasible(message, where="--require-attainment")
    return with_changes(error, Requirement(wanted), search, deployment, console)


def with_changes(
    error: Infeasible, requirement: Requirement, search: Search, deployment: Deployment, console: Console
) -> Verdict:
    """The error, with what would be enough for a requirement."""
    from placement.feasible_changes import COARSE

    found = _changes(deployment, lambda changed: _holds(changed, requirement, search), console, reach=COARSE)
    capacity = "`statmux capacity --minimize devices` looks for a cluster that holds"
    hint = _hint(found) or error.hint or capacity
    return Verdict(Infeasible(error.message, where=error.where, hint=hint), found)


def _holds(deployment: Deployment, requirement: Requirement, how: Search) -> bool:
    from placement.capacity.evaluate import Probe, Study, evaluate
    from placement.capacity.points import base_point
    from placement.search import search

    try:
        found = search(
            deployment,
            how.trace,
            algorithm=how.algorithm,
            trim_s=how.trim_s,
            time_budget_s=how.budget_s,
        )
    except Infeasible:
        return False
    if not found.is_complete:
        raise KeyboardInterrupt
    study = Study(deployment, how.trace, how.trace, trim_s=how.trim_s)
    return requirement.holds(
        evaluate(study, Probe(base_point(deployment.cluster), placement=found.placement))
    )


def _changes(
    deployment: Deployment,
    is_feasible: Callable[[Deployment], bool],
    console: Console,
    *,
    reach: Reach,
) -> tuple[Remedy, ...]:
    """None, when the user does not want to wait for them."""
    from placement.feasible_changes import smallest_changes

    num_tried = 0
    with console.progress("looking for what would be enough") as progress:

        def counted(changed: Deployment) -> bool:
            nonlocal num_tried
            num_tried += 1
            progress.step(num_tried, note=f"{num_tried} changes tried")
            return is_feasible(changed)

        try:
            return smallest_changes(deployment, counted, reach=reach)
        except KeyboardInterrupt:
            return ()


def _hint(found: tuple[Remedy, ...]) -> str:
    if not found:
        return ""
    words = "; or ".join(one.sentence for one in found)
    return f"enough would be {words}"
