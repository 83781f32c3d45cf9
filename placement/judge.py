"""What a placement is chosen by: its value on the given trace, and on traffic that no walk has gone by."""

from __future__ import annotations

from typing import final

import numpy as np

from placement.candidate import Candidate
from placement.greedy import Scored
from placement.problem import Problem
from placement.scenario import unwalked
from simulator.fast import Scorer, Tally


@final
class Judge:
    """Values one placement at a time, on all of the traffic. Counts what it simulates. For one thread."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        trace = unwalked(problem)
        self._other = Scorer(trace, deployment=problem.scored, table=problem.table)
        self._num_others = len(trace)

    def scored(self, candidate: Candidate) -> Scored:
        """Every request counts the same, of the given trace and of the others."""
        configs = tuple(mesh.config for mesh in candidate.layout)
        given = self._problem.tally(candidate)
        other = self._other.tally(configs, candidate.content)
        self._problem.num_simulated += self._num_others
        return Scored(
            candidate,
            self._value(candidate, [given, other]),
            on_trace=self._value(candidate, [given]),
        )

    def _value(self, candidate: Candidate, tallies: list[Tally]) -> float:
        values = self._problem.values(
            np.sum([tally.num_good for tally in tallies], axis=0)[None],
            np.sum([tally.num_requests for tally in tallies], axis=0),
            np.array([sum(tally.total_latency_s for tally in tallies)]),
            np.array([candidate.num_replicas]),
        )
        return float(values[0])
