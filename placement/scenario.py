"""The traffic that candidates are judged by: the given trace, and others drawn anew from it.

One trace is one draw: what fits its arrivals best is not what serves the next hour best. So placements
are valued on the given trace and on traffic redrawn from it together, and what a plan gains by fitting is
measured on redrawn traffic that no step of the search has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from placement.groups import Layout
from placement.problem import Problem
from placement.redrawing import drawn_anew
from simulator.fast import Scorer
from simulator.lanes import LaneCounts, LaneScorer, lanes_support
from simulator.traffic.blocks import one_after_another, slices
from vocabulary.parallel import ParallelConfig
from vocabulary.trace import Trace

Values = NDArray[np.float64]

# Requests of traces as long as the given one that are drawn anew from it, for walks and for judging what they
# find; at least so many traces, at most so many.
WALKED_REQUESTS, JUDGED_REQUESTS = 12_000, 75_000
MAX_TRACES = 6
WALKED_TRACES, JUDGED_TRACES = (1, 3), (2, MAX_TRACES)
# Keys of the generators of redrawn traffic: for walks, for judging, and such as no search sees.
WALKED, JUDGED, UNSEEN = 0, 2**31, 2**32
# Most requests of a trace that a step of a walk looks at, for each model and at least, in so many slices.
SCREENED_A_MODEL, SCREENED_REQUESTS = 300, 20_000
NUM_SLICES = 4


class Judged(NamedTuple):
    """Of many candidates: values [n], requests that are missed [n, models], and those that were sent to each
    replica [n, groups, models]."""

    values: Values
    missed: Values
    routed: NDArray[np.int64]


@final
class Scenario:
    """Values many candidates at once, on several traces together.

    num_requests: of one candidate's simulation. demand: requests [models]. May be used by several threads if
    `is_threaded`.
    """

    def __init__(self, problem: Problem, traces: Sequence[Trace], *, trim_s: float = 0.0) -> None:
        """`trim_s`: of the first trace."""
        self._problem = problem
        self.num_requests = sum(map(len, traces))
        self.is_threaded = lanes_support(problem.scored, num_requests=self.num_requests)
        self._scorers = [
            self._scorer(trace, trim_s if number == 0 else 0.0) for number, trace in enumerate(traces)
        ]
        self._asked = np.sum([scorer.num_requests for scorer in self._scorers], axis=0)
        self.demand = self._asked.astype(float)

    def judged(self, layout: Layout, held: NDArray[np.bool_]) -> Judged:
        """Of candidates [n, groups, models]."""
        configs = tuple(mesh.config for mesh in layout)
        parts = [scorer.counts(configs, held) for scorer in self._scorers]
        num_good = np.sum([part.num_good for part in parts], axis=0)
        total_s = np.sum([part.total_latency_s for part in parts], axis=0)
        values = self._problem.values(num_good, self._asked, total_s, held.sum(axis=(1, 2)))
        routed = np.sum([part.num_routed for part in parts], axis=0)
        return Judged(values, self._asked - num_good, routed)

    def _scorer(self, trace: Trace, trim_s: float) -> LaneScorer | _OneByOne:
        problem = self._problem
        if self.is_threaded:
            return LaneScorer(trace, deployment=problem.scored, trim_s=trim_s, table=problem.table)
        return _OneByOne(Scorer(trace, deployment=problem.scored, trim_s=trim_s, table=problem.table))


@final
class _OneByOne:
    """For policies that lanes do not have."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.num_requests = scorer.num_requests

    def counts(self, configs: tuple[ParallelConfig, ...], held: NDArray[np.bool_]) -> LaneCounts:
        contents = [[np.flatnonzero(row).tolist() for row in one] for one in held]
        tallies = [self._scorer.tally(configs, content) for content in contents]
        return LaneCounts(
            np.array([tally.num_good for tally in tallies]),
            # Not known by replica: all of a group alike.
            np.array([tally.num_routed for tally in tallies])[..., None] * held,
            np.array([tally.total_latency_s for tally in tallies]),
        )


def rough(problem: Problem) -> Scenario:
    """The given trace, or slices of it where it is long."""
    part = _screened(problem, problem.trace)
    return Scenario(problem, [part], trim_s=problem.trim_s if part is problem.trace else 0.0)


def full(problem: Problem, stage: int) -> Scenario:
    """That, and some traffic drawn anew, other at every stage: what walks go by."""
    part = _screened(problem, problem.trace)
    key = WALKED + MAX_TRACES * stage
    drawn = [_screened(problem, trace) for trace in _redrawn(problem, key, WALKED_REQUESTS, WALKED_TRACES)]
    return Scenario(problem, [part, *drawn], trim_s=problem.trim_s if part is problem.trace else 0.0)


def unwalked(problem: Problem) -> Trace:
    """Traffic drawn anew that walks do not go by: what placements are chosen by, beside the given trace."""
    drawn = _redrawn(problem, JUDGED, JUDGED_REQUESTS, JUDGED_TRACES)
    return one_after_another(drawn, gap_s=_gap_s(problem))


def unseen(problem: Problem) -> Trace:
    """Traffic drawn anew that no search has seen."""
    drawn = _redrawn(problem, UNSEEN, JUDGED_REQUESTS, JUDGED_TRACES)
    return one_after_another(drawn, gap_s=_gap_s(problem))


def _screened(problem: Problem, trace: Trace) -> Trace:
    most = max(SCREENED_REQUESTS, SCREENED_A_MODEL * problem.num_models)
    return slices(trace, num_requests=most, num_slices=NUM_SLICES, gap_s=_gap_s(problem))


def _redrawn(problem: Problem, key: int, num_requests: int, bounds: tuple[int, int]) -> list[Trace]:
    fewest, most = bounds
    count = max(fewest, min(most, round(num_requests / max(1, len(problem.trace)))))
    return [
        drawn_anew(problem.deployment, problem.trace, keys=(problem.deployment.seed, key + number))
        for number in range(count)
    ]


def _gap_s(problem: Problem) -> float:
    """Twice the longest that a request may be under way."""
    terms = problem.deployment.latency
    finite = [slo for model in problem.deployment.models if (slo := model.slo_s(terms)) < float("inf")]
    return 60.0 + 2 * max(finite, default=0.0)
