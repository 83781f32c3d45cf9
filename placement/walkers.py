"""Several walks at once, on as many processors as there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import count
from typing import final

from placement.budget import Budget
from placement.findings import Findings
from placement.greedy import Scored
from placement.problem import Problem
from placement.scenario import Scenario
from placement.walk import HEAT, Walk

# Steps without a better placement after which a walk ends. This and the numbers of steps are for a fleet of
# SMALL groups times models; on larger ones more, by the square root, up to LONGEST.
PATIENCE = 50
SMALL, LONGEST = 200, 6.0
# Between signs of life.
SIGN_S = 0.25
# Beyond this, threads are held up by each other's Python.
MAX_THREADS = 8


@final
class Walkers:
    """Walks from several starts; what comes out does not depend on the number of threads."""

    def __init__(self, problem: Problem, findings: Findings, budget: Budget) -> None:
        self._problem = problem
        self._findings = findings
        self._budget = budget
        self._stages = count()
        self._walks: list[Walk] = []

    def walk(
        self, starts: Sequence[Scored], scenario: Scenario, num_steps: int, *, phase: str, heat: float = HEAT
    ) -> None:
        """A walk from every start, and the best of each offered."""
        seed = (self._problem.deployment.seed, next(self._stages))
        self._walks = [
            Walk(self._problem, start, scenario, seed=(*seed, number)) for number, start in enumerate(starts)
        ]

        def run(walk: Walk) -> None:
            size = len(walk.layout) * self._problem.num_models
            longer = min(LONGEST, max(1.0, (size / SMALL) ** 0.5))
            walk.run(int(num_steps * longer), self._budget, heat=heat, patience=int(PATIENCE * longer))

        num_threads = min(MAX_THREADS, len(os.sched_getaffinity(0))) if scenario.is_threaded else 1
        with ThreadPoolExecutor(num_threads) as pool:
            pending = {pool.submit(run, walk) for walk in self._walks}
            try:
                while pending:
                    done, pending = wait(pending, timeout=SIGN_S, return_when=FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    self._findings.report(phase, sum(walk.num_evaluated for walk in self._walks))
            except BaseException:  # Ctrl-C among them: who waits for the threads waits for a step only
                self._budget.stop()
                raise
        self.collect(phase)

    def collect(self, phase: str) -> None:
        """Offer what the walks under way have found; for who interrupts them too."""
        walks, self._walks = self._walks, []
        for walk in walks:
            self._problem.count(walk.num_evaluated, walk.scenario.num_requests)
        self._findings.offer([walk.best for walk in walks], phase=phase)
