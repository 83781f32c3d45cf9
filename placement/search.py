"""The front door of placement search: a deployment and a trace in, a plan out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from placement.auto import auto, overfit_gap
from placement.baselines import BASELINES, Algorithm
from placement.buckets import mp_search_sep
from placement.budget import Budget
from placement.explain import binding_constraints, predict
from placement.feasible import check_profiled, why_nothing
from placement.greedy import Scored, beam, fill
from placement.groups import hosts_of
from placement.incumbent import Incumbent, Report, ignore
from placement.layouts import equal_layouts
from placement.problem import Problem
from placement.why import candidate_of
from simulator.fast_or_events import outcomes_of
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Found:
    """What a search chose. `seconds`: from parsed input to chosen placement; is_complete: not interrupted.

    num_evaluated: placements simulated, num_simulated: requests in them. overfit_gap: attainment on the trace
    less that on traffic drawn anew from it which no step of the search has seen; None where none is drawn.
    judged_value: what the search maximised, the objective on the trace and traffic redrawn from it together
    (`placement.judge`); None from algorithms that look at the trace alone.
    """

    placement: Placement
    algorithm: str
    num_evaluated: int
    seconds: float
    is_complete: bool
    num_simulated: int = 0
    overfit_gap: float | None = None
    judged_value: float | None = None

    @property
    def evaluations_per_second(self) -> float:
        return self.num_evaluated / self.seconds if self.seconds > 0 else 0.0

    @property
    def candidate_requests_per_second(self) -> float:
        return self.num_simulated / self.seconds if self.seconds > 0 else 0.0


def place(
    deployment: Deployment,
    trace: Trace,
    *,
    algorithm: str | None = None,
    trim_s: float = 0.0,
    progress: Callable[[Report], None] = ignore,
) -> Plan:
    """Search, and predict what the chosen placement does on the training trace.

    Raises what `search` raises; an interrupted search gives the best placement so far.
    """
    found = search(deployment, trace, algorithm=algorithm, trim_s=trim_s, progress=progress)
    return planned(found, deployment, trace, trim_s=trim_s)


def search(
    deployment: Deployment,
    trace: Trace,
    *,
    algorithm: str | None = None,
    trim_s: float = 0.0,
    progress: Callable[[Report], None] = ignore,
    time_budget_s: float | None = None,
    start: Placement | None = None,
) -> Found:
    """The same placement for the same input. `algorithm` overrides the deployment's.

    Without `time_budget_s`, here or in the deployment, a search ends when it has converged; with it, `auto`
    ends then, sooner or later than it would have: more time never gives a worse plan. The published
    algorithms take no notice of it. `start`: a placement that fits and keeps all rules, which `auto` goes on
    from too.
    A KeyboardInterrupt ends the search with the best so far, and rises if there is none. Raises Infeasible
    if no model fits or required replicas do not, InvalidInput for an algorithm that is not known.
    """
    budget = Budget(deployment.time_budget_s if time_budget_s is None else time_budget_s)
    name = deployment.algorithm if algorithm is None else algorithm
    run = _search_called(name)
    if start is not None and name == "auto":
        run = partial(auto, first=candidate_of(start, deployment))
    aligned = trace.aligned_to(deployment.model_names)
    check_profiled(deployment)
    problem = Problem(deployment, aligned, trim_s=trim_s if name in OWN else 0.0)
    incumbent = Incumbent(progress)
    is_complete = True
    try:
        run(problem, incumbent, budget)
    except KeyboardInterrupt:
        if incumbent.best is None:
            raise
        is_complete = False
    best = incumbent.best
    if best is None or not best.candidate.num_replicas:
        raise why_nothing(problem, name)
    return Found(
        best.candidate.placement(deployment.model_names, keeps_devices=problem.constraints.names_devices),
        name,
        problem.num_evaluated,
        budget.elapsed_s,
        is_complete,
        num_simulated=problem.num_simulated,
        overfit_gap=overfit_gap(problem, best.candidate) if name in OWN else None,
        judged_value=None if best.on_trace is None else best.value,
    )


def planned(found: Found, deployment: Deployment, trace: Trace, *, trim_s: float = 0.0) -> Plan:
    """A plan with predictions for the training trace, under the deployment's own policy."""
    outcomes = outcomes_of(found.placement, trace, deployment=deployment)
    return Plan(
        placement=found.placement,
        metadata={"deployment": deployment.name, "policy": found.algorithm},
        predicted=predict(found.placement, outcomes, deployment=deployment, trim_s=trim_s),
        search={
            "algorithm": found.algorithm,
            "num_evaluated": found.num_evaluated,
            "seconds": round(found.seconds, 6),
            "seed": deployment.seed,
            "is_complete": found.is_complete,
        },
        binding_constraints=binding_constraints(found.placement, outcomes, deployment=deployment),
    )


def algorithm_names() -> tuple[str, ...]:
    """Every name that `search` takes."""
    return (*OWN, *PUBLISHED)


def beam_search(problem: Problem, incumbent: Incumbent, budget: Budget) -> None:
    """Algorithm 1 with a beam, on the layout that the fast heuristic likes best."""
    width = problem.deployment.beam_width
    best: Scored | None = None
    for layout in equal_layouts(problem, hosts_of(problem.deployment.cluster)):
        filled = fill(problem, layout)
        if filled is not None:
            incumbent.offer(filled.best, phase="rank layouts", num_evaluated=problem.num_evaluated)
            if best is None or filled.best.value > best.value:
                best = filled.best
    if best is not None:
        found = beam(problem, best.candidate.layout, width=width)
        incumbent.offer(found, phase=f"beam of {width}", num_evaluated=problem.num_evaluated)


def _search_called(name: str) -> _Search:
    if name in OWN:
        return OWN[name]
    known = (*OWN, *PUBLISHED)
    if name not in known:
        raise InvalidInput(
            f"there is no placement algorithm {name!r}",
            where="--algorithm or placement.search.algorithm",
            hint=f"choose among {', '.join(known)}",
        )
    return lambda problem, incumbent, budget: PUBLISHED[name](problem, incumbent)


_Search = Callable[[Problem, Incumbent, Budget], None]
OWN: dict[str, _Search] = {"auto": auto, "beam": beam_search}
PUBLISHED: dict[str, Algorithm] = {**BASELINES, "mp-search-sep": mp_search_sep}
