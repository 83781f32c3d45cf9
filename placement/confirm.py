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
from simulator.traffic.blocks import slices
from vocabulary.outcomes import Outcomes

# The event simulator takes half a second for so many requests.
CONFIRMED_REQUESTS = 30_000
NUM_SLICES = 4


def confirmed(problem: Problem, finalists: Sequence[Scored], budget: Budget) -> Scored:
    """The best of the finalists under the deployment's own queue and batching; the first of equals.

    Long traces are looked at in slices. The first is taken when there is no time left.
    """
    trace = slices(problem.trace, num_requests=CONFIRMED_REQUESTS, num_slices=NUM_SLICES, gap_s=60.0)
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


def _tally(outcomes: Outcomes) -> Tally:
    index, size = outcomes.trace.model_index, len(outcomes.trace.models)
    num_good = np.bincount(index[outcomes.good], minlength=size)
    return Tally(num_good, np.bincount(index, minlength=size), np.zeros(0, dtype=np.int64), 0.0)
