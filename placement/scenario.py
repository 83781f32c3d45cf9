"""The traffic that candidates are judged by: the given trace, and others drawn anew from it.

One trace is one draw: what fits its arrivals best is not what serves the next hour best. So placements
are valued on the given trace and on traffic redrawn from it together, and what a plan gains by fitting is
measured on redrawn traffic that no step of the search has seen.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Candidate
from placement.greedy import Scored
from placement.groups import Layout
from placement.objectives import objective_values
from placement.problem import LATENCY_WEIGHT, REPLICA_WEIGHT, Problem
from simulator.fast import Scorer
from simulator.lanes import LaneCounts, LaneScorer, held_of, lanes_support
from simulator.traffic.blocks import one_after_another, redrawn, slices
from vocabulary.trace import Trace

Values = NDArray[np.float64]

# Traces as long as the given one, drawn anew from it.
NUM_REDRAWN = 2
NUM_UNSEEN = 2
# Key of the generators of redrawn traffic that no search sees.
UNSEEN = 2**32
# Requests of the given trace that rough steps look at, in so many slices.
SCREENED_REQUESTS = 60_000
NUM_SLICES = 8


@final
class Scenario:
    """Values many candidates at once on the given trace, or a part of it, and on others beside it.

    num_requests: of one candidate's simulation. most: the highest value there can be. demand: requests
    [models]. May be used by several threads if `is_threaded`.
    """

    def __init__(self, problem: Problem, trace: Trace, *, trim_s: float = 0.0, beside: Trace | None = None):
        self._problem = problem
        self.is_threaded = lanes_support(problem.scored, num_requests=len(trace))
        self._scorers = [self._scorer(trace, trim_s)]
        if beside is not None:
            self._scorers.append(self._scorer(beside, 0.0))
        self.num_requests = len(trace) + (0 if beside is None else len(beside))
        self.demand = np.sum([scorer.num_requests for scorer in self._scorers], axis=0).astype(float)
        self.most = 1.0

    def values(self, layout: Layout, held: NDArray[np.bool_]) -> tuple[Values, Values, Values]:
        """Of candidates [n, groups, models]: on all traffic, on the given trace [n]; misses [n, models]."""
        configs = tuple(mesh.config for mesh in layout)
        parts = [scorer.counts(configs, held) for scorer in self._scorers]
        num_replicas = held.sum(axis=(1, 2))
        on_trace = self._valued(parts[:1], num_replicas)
        values = on_trace if len(parts) == 1 else self._valued(parts, num_replicas)
        missed = self.demand - np.sum([part.num_good for part in parts], axis=0)
        return values, on_trace, missed

    def scored(self, candidate: Candidate) -> Scored:
        """One candidate, valued."""
        held = held_of(
            [candidate.content], num_groups=len(candidate.layout), num_models=self._problem.num_models
        )
        values, on_trace, _ = self.values(candidate.layout, held)
        return Scored(candidate, float(values[0]), float(on_trace[0]))

    def _valued(self, parts: list[LaneCounts], num_replicas: NDArray[np.int64]) -> Values:
        num_good = np.sum([part.num_good for part in parts], axis=0)
        asked = np.sum([scorer.num_requests for scorer in self._scorers[: len(parts)]], axis=0)
        mean_s = np.sum([part.total_latency_s for part in parts], axis=0) / max(1, int(asked.sum()))
        good = objective_values(self._problem.objective, num_good, asked)
        return good - LATENCY_WEIGHT * mean_s + REPLICA_WEIGHT * num_replicas

    def _scorer(self, trace: Trace, trim_s: float) -> LaneScorer | _OneByOne:
        problem = self._problem
        if lanes_support(problem.scored, num_requests=len(trace)):
            return LaneScorer(trace, deployment=problem.scored, trim_s=trim_s, table=problem.table)
        return _OneByOne(Scorer(trace, deployment=problem.scored, trim_s=trim_s, table=problem.table))


@final
class _OneByOne:
    """For policies that lanes do not have."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.num_requests = scorer.num_requests

    def counts(self, configs: tuple, held: NDArray[np.bool_]) -> LaneCounts:
        contents = [[np.flatnonzero(row).tolist() for row in one] for one in held]
        tallies = [self._scorer.tally(configs, content) for content in contents]
        return LaneCounts(
            np.array([tally.num_good for tally in tallies]),
            np.array([tally.num_routed for tally in tallies]),
            np.array([tally.total_latency_s for tally in tallies]),
        )


def rough(problem: Problem) -> Scenario:
    """The given trace, or slices of it where it is long."""
    part = slices(problem.trace, num_requests=SCREENED_REQUESTS, num_slices=NUM_SLICES, gap_s=_gap_s(problem))
    return Scenario(problem, part, trim_s=problem.trim_s if part is problem.trace else 0.0)


def full(problem: Problem) -> Scenario:
    """The given trace, whole, and others drawn anew from it."""
    return Scenario(problem, problem.trace, trim_s=problem.trim_s, beside=_redrawn(problem, 0, NUM_REDRAWN))


def unseen(problem: Problem) -> Trace:
    """Traffic drawn anew that `full` does not hold."""
    return _redrawn(problem, UNSEEN, NUM_UNSEEN)


def _redrawn(problem: Problem, key: int, count: int) -> Trace:
    seeds = [np.random.SeedSequence((problem.deployment.seed, key + number)) for number in range(count)]
    drawn = [redrawn(problem.trace, np.random.Generator(np.random.PCG64(seed))) for seed in seeds]
    return one_after_another(drawn, gap_s=_gap_s(problem))


def _gap_s(problem: Problem) -> float:
    """Twice the longest that a request may be under way."""
    terms = problem.deployment.latency
    finite = [slo for model in problem.deployment.models if (slo := model.slo_s(terms)) < float("inf")]
    return 60.0 + 2 * max(finite, default=0.0)
