"""A plan for a fleet that serves: searched from what runs, weighed against moving, with everybody kept."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from placement.budget import Budget
from placement.constraints import Constraints
from placement.difference import difference
from placement.greedy import Scored, fill_up
from placement.on_demand import without_models
from placement.problem import Problem
from placement.replan import KEEP, Option, Replan, replan
from placement.required import open_as_needed
from placement.scenario import full
from placement.search import Found, planned, search
from placement.still_known import still_known
from placement.walk import HEAT, Walk
from placement.why import candidate_of
from resharding.move_costs import Store
from resharding.network import network_of
from simulator.plan_changes import Costs, Wanted, carried_out
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible, StatmuxError
from vocabulary.fit import check_fit
from vocabulary.placement import Placement
from vocabulary.plan import Plan
from vocabulary.trace import Trace

# Without a budget in the deployment: long enough to be better than what runs, short enough to be in time.
DEFAULT_BUDGET_S = 10.0
# Of a walk that exchanges models of the groups that are there: its steps, and its share of the time.
WALK_STEPS, WALK_SHARE = 200, 0.3


@dataclass(frozen=True, slots=True)
class Question:
    """current: what is wanted now; trace: traffic as it is expected over `horizon_s` from now on.

    required: models that are to have a replica, where there is room for all of them. min_gain: of the
    requests of the horizon, those that a move must gain, net; nothing less is worth one. store_bytes_per_s:
    of one host; restart_s: what a new group takes besides its weights.
    """

    current: Placement
    deployment: Deployment
    trace: Trace
    required: tuple[str, ...] = ()
    horizon_s: float = 1800.0
    min_gain: float = 0.0
    max_moves: int | None = None
    store_bytes_per_s: float = 1e9
    restart_s: float = 0.0
    budget_s: float = DEFAULT_BUDGET_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What to run. chosen is `keep`, with what is known of the current placement, where moving does not pay.

    best: the option that was weighed highest. left_out: required models that there is no room for.
    """

    plan: Plan
    chosen: Option
    best: Option
    kept: Option
    left_out: tuple[str, ...]
    num_bytes: int
    moves: tuple[str, ...]

    @property
    def is_move(self) -> bool:
        return self.chosen.name != KEEP

    @property
    def why(self) -> str:
        """In one sentence, with the numbers."""
        kept, best = self.kept, self.best
        if best.name == KEEP:
            return f"nothing is better than what runs, {kept.slo_attainment:.2%} in time"
        gain = (
            f"{best.name}: {best.slo_attainment:.2%} in time, now {kept.slo_attainment:.2%}; over the "
            f"horizon {best.gained:.0f} requests gained, {best.lost:.0f} lost by moving {best.num_moves} "
            "replicas"
        )
        return gain if self.is_move else f"{gain}: not worth the move"


def answer(question: Question) -> Answer:
    """Raises Infeasible where no plan serves what the deployment itself requires."""
    held, found = _searched(question)
    current = without_models(still_known(question.current, held), ())
    network, store = network_of(held.cluster), Store(question.store_bytes_per_s)
    weighed = replan(
        current,
        held,
        question.trace,
        horizon_s=question.horizon_s,
        network=network,
        store=store,
        restart_s=question.restart_s,
        proposals={
            "search": found.placement,
            **_beside(current, held, question.trace),
            **_improved(current, held, question.trace, question.budget_s * WALK_SHARE),
        },
        max_moves=question.max_moves,
    )
    kept = next(one for one in weighed.options if one.name == KEEP)
    best = _best_gradual(current, weighed, held)
    is_worth_it = not weighed.can_stay or best.net >= _least_gain(question)
    chosen = best if is_worth_it else kept
    moved = difference(current, chosen.placement, deployment=held, network=network, store=store)
    return Answer(
        plan=planned(replace(found, placement=chosen.placement), question.deployment, question.trace),
        chosen=chosen,
        best=best,
        kept=kept,
        left_out=tuple(name for name in question.required if name not in chosen.placement.models),
        num_bytes=sum(move.num_bytes for move in moved.moves),
        moves=tuple(f"{move.model} to {move.group} from {move.origin}" for move in moved.moves),
    )


def _best_gradual(current: Placement, weighed: Replan, deployment: Deployment) -> Option:
    """The best on whose way no model is without a replica; where none is so and one has to be, the best."""
    for option in weighed.options:
        if option.name == KEEP and weighed.can_stay:
            return option
        if option.name != KEEP and is_gradual(current, option.placement, deployment=deployment):
            return option
    return weighed.chosen


def is_gradual(current: Placement, wanted: Placement, *, deployment: Deployment) -> bool:
    """Whether the fleet comes from one to the other with a replica of each model that both have, always."""
    plans = [Wanted(0.0, wanted)]
    return not carried_out(current, plans, deployment=deployment, costs=Costs()).given_up


def _least_gain(question: Question) -> float:
    """Requests over the horizon."""
    span_s = question.trace.duration_s
    rate_rps = len(question.trace) / span_s if span_s > 0 else 0.0
    return question.min_gain * rate_rps * question.horizon_s


def _searched(question: Question) -> tuple[Deployment, Found]:
    """With all required models held; with those that have a replica now; else as the deployment says."""
    there = question.current.models
    attempts = (question.required, [name for name in question.required if name in there], ())
    for number, names in enumerate(attempts):
        held = _holding(_without_idle(question), names)
        start = still_known(question.current, held)
        try:
            return held, search(
                held, question.trace, start=start if _is_sound(start, held) else None,
                time_budget_s=question.budget_s,
            )  # fmt: skip
        except Infeasible:
            if number == len(attempts) - 1:
                raise
    raise AssertionError("unreachable")


def _without_idle(question: Question) -> Deployment:
    """Models on demand that nobody asks for, and that are not there, get no place: they come when asked."""
    counts = dict(zip(question.trace.models, question.trace.counts().tolist(), strict=True))
    there = question.current.models
    models = tuple(
        replace(model, min_replicas=0, max_replicas=0)
        if model.on_demand.is_enabled and model.name not in there and not counts.get(model.name)
        else model
        for model in question.deployment.models
    )
    return replace(question.deployment, models=models)


def _holding(deployment: Deployment, names: Collection[str]) -> Deployment:
    """With a replica, at least, of these."""
    models = tuple(
        replace(model, min_replicas=max(1, model.min_replicas)) if model.name in names else model
        for model in deployment.models
    )
    return replace(deployment, models=models)


def _is_sound(placement: Placement, deployment: Deployment) -> bool:
    try:
        check_fit(placement, deployment)
    except StatmuxError:
        return False
    return bool(placement.num_replicas) and not Constraints(deployment).violations(placement)


def _improved(
    current: Placement, deployment: Deployment, trace: Trace, budget_s: float
) -> dict[str, Placement]:
    """The groups as they are, their models exchanged step by step."""
    if not _is_sound(current, deployment):
        return {}
    problem = Problem(deployment, trace.aligned_to(deployment.model_names))
    start = Scored(candidate_of(current, deployment), 0.0)
    walk = Walk(problem, start, full(problem, 0), seed=(deployment.seed, 0))
    walk.run(WALK_STEPS, Budget(budget_s), heat=HEAT / 2)
    found = walk.best.candidate.placement(deployment.model_names, keeps_devices=True)
    return {} if Constraints(deployment).violations(found) else {"exchange": found}


def _beside(current: Placement, deployment: Deployment, trace: Trace) -> dict[str, Placement]:
    """What runs stays, models that are missing get a place, devices that are free are used."""
    problem = Problem(deployment, trace.aligned_to(deployment.model_names))
    try:
        grown = list(open_as_needed(problem, candidate_of(current, deployment)))
    except StatmuxError:
        return {}
    if not grown:
        return {}
    best = max((fill_up(problem, one).best for one in grown), key=lambda one: one.value)
    found = best.candidate.placement(deployment.model_names, keeps_devices=True)
    return {} if Constraints(deployment).violations(found) else {"beside": found}
