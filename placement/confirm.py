"""The last word of the deployment's own policy, where searches score by a stand-in for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from placement.budget import Budget
from placement.greedy import Scored
from placement.objectives import objective_value
from placement.problem import Problem
from simulator.fast import Tally
from simulator.fast_or_events import outcomes_of
from simulator.generation.arrivals import asks_for_tokens
from simulator.traffic.blocks import slices
from vocabulary.outcomes import Outcomes
from vocabulary.trace import Trace

# The event simulator takes half a second for so many requests; a second or two where they ask for tokens.
CONFIRMED_REQUESTS = 30_000
CONFIRMED_ANSWERS = 1_000
NUM_SLICES = 4


def confirmed(problem: Problem, finalists: Sequence[Scored], budget: Budget) -> Scored:
    """The best of the finalists under the deployment's own queue and batching; the first of equals.

    Long traces are looked at in slices, of requests for tokens in one. The first is taken when there
    is no time left.
    """
    trace = _looked_at(problem.trace)
    best, best_value = finalists[0], -np.inf
    for scored in dict.fromkeys(finalists):
        if budget.is_over:
            break
        placement = scored.candidate.placement(problem.deployment.model_names)
        outcomes = outcomes_of(placement, trace, deployment=problem.deployment)
        problem.count(1, len(trace))
        value = objective_value(problem.objective, _tally(outcomes))
        if value > best_value:
            best, best_value = scored, value
    return best


def _looked_at(trace: Trace) -> Trace:
    if not asks_for_tokens(trace):
        return slices(trace, num_requests=CONFIRMED_REQUESTS, num_slices=NUM_SLICES, gap_s=60.0)
    first = max(0, (len(trace) - CONFIRMED_ANSWERS) // 2)
    return trace.take(np.arange(first, min(first + CONFIRMED_ANSWERS, len(trace))))


def _tally(outcomes: Outcomes) -> Tally:
    index, size = outcomes.trace.model_index, len(outcomes.trace.models)
    num_good = np.bincount(index[outcomes.good], minlength=size)
    return Tally(num_good, np.bincount(index, minlength=size), np.zeros(0, dtype=np.int64), 0.0)
