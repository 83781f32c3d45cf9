"""The front door of placement search: a deployment and a trace in, a plan out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from placement.auto import auto, layouts
from placement.baselines import BASELINES, Algorithm
from placement.buckets import mp_search_sep
from placement.explain import binding_constraints, predict
from placement.feasible import check_profiled, why_nothing
from placement.greedy import Scored, beam, fill
from placement.groups import hosts_of
from placement.incumbent import Incumbent, Report, ignore
from placement.problem import Problem
from simulator.fast_or_events import outcomes_of
from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Found:
    """What a search chose. `seconds`: from parsed input to chosen placement; is_complete: not interrupted."""

    placement: Placement
    algorithm: str
    num_evaluated: int
    seconds: float
    is_complete: bool


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
) -> Found:
    """The same placement for the same input. `algorithm` overrides the deployment's.

    A KeyboardInterrupt ends the search with the best so far, and rises if there is none. Raises Infeasible
    if no model fits or required replicas do not, InvalidInput for an algorithm that is not known.
    """
    start_s = time.perf_counter()
    name = deployment.algorithm if algorithm is None else algorithm
    run = _search_called(name)
    aligned = trace.aligned_to(deployment.model_names)
    check_profiled(deployment)
    problem = Problem(deployment, aligned, trim_s=trim_s if name in OWN else 0.0)
    incumbent = Incumbent(progress)
    is_complete = True
    try:
        run(problem, incumbent)
    except KeyboardInterrupt:
        if incumbent.best is None:
            raise
        is_complete = False
    best = incumbent.best
    if best is None or not best.candidate.num_replicas:
        raise why_nothing(problem, name)
    seconds = time.perf_counter() - start_s
    placement = best.candidate.placement(deployment.model_names)
    return Found(placement, name, incumbent.num_evaluated, seconds, is_complete)


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


def beam_search(problem: Problem, incumbent: Incumbent) -> None:
    """Algorithm 1 with a beam, on the layout that the fast heuristic likes best."""
    width = problem.deployment.beam_width
    best: Scored | None = None
    for layout in layouts(problem, hosts_of(problem.deployment.cluster)):
        filled = fill(problem, layout)
        if filled is not None:
            incumbent.offer(filled.best, phase="rank layouts", num_evaluated=problem.num_evaluated)
            if best is None or filled.best.value > best.value:
                best = filled.best
    if best is not None:
        found = beam(problem, best.candidate.layout, width=width)
        incumbent.offer(found, phase=f"beam of {width}", num_evaluated=problem.num_evaluated)


def _search_called(name: str) -> Algorithm:
    known = OWN | PUBLISHED
    if name not in known:
        raise InvalidInput(
            f"there is no placement algorithm {name!r}",
            where="--algorithm or placement.search.algorithm",
            hint=f"choose among {', '.join(known)}",
        )
    return known[name]


OWN: dict[str, Algorithm] = {"auto": auto, "beam": beam_search}
PUBLISHED: dict[str, Algorithm] = {**BASELINES, "mp-search-sep": mp_search_sep}
