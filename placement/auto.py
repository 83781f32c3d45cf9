"""The default search: every layout filled greedily, the best ones walked from, their neighbours looked at.

A placement is judged by the given trace and by traffic drawn anew from it (`placement.scenario`): what
only fits the given arrivals is not taken. Many layouts are walked on roughly, few in full.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import final

from placement.budget import Budget
from placement.candidate import Candidate
from placement.confirm import confirmed
from placement.greedy import Scored, fill, fill_up
from placement.groups import Layout, hosts_of
from placement.incumbent import Incumbent
from placement.layouts import equal_layouts, neighbours, shared_between, side_by_side
from placement.problem import Problem
from placement.required import leaves_out, open_as_needed
from placement.scenario import Scenario, full, rough
from placement.starts import taken_over
from placement.walk import HEAT, Walk

# Layouts that are walked on roughly, and of those in full; and how many are looked at beside the equal ones.
NUM_ROUGH, NUM_FULL, NUM_OTHERS = 6, 3, 24
# Steps of a walk on a fleet of SMALL groups times models; on larger fleets more, by the square root.
ROUGH_STEPS, FULL_STEPS, PATIENCE = 60, 150, 60
SMALL = 200
# How often the layout may change for a neighbour of it.
MAX_TURNS = 3
# Threads are held up by each other's Python beyond this.
MAX_THREADS = 8


def auto(problem: Problem, incumbent: Incumbent, budget: Budget) -> None:
    """Leaves its best placement in `incumbent`; the same for the same problem and seed, when it converges."""
    search = _Search(problem, incumbent, budget)
    try:
        search.run()
    except KeyboardInterrupt:
        search.stop()
        raise


@final
class _Search:
    def __init__(self, problem: Problem, incumbent: Incumbent, budget: Budget) -> None:
        self._problem = problem
        self._incumbent = incumbent
        self._budget = budget
        self._hosts = hosts_of(problem.deployment.cluster)
        self._rough, self._full = rough(problem), full(problem)
        self._seeds = count()
        self._walks: list[Walk] = []
        # By layout, whatever the order of its groups: the best that was found there, in full.
        self._found: dict[Layout, Scored] = {}

    def run(self) -> None:
        """Until it has converged; with a time budget until that is over."""
        self._walk_roughly(self._equal_starts(), phase="layouts")
        self._walk_roughly(self._other_starts(), phase="layouts")
        self._walk_fully(self._best(NUM_FULL), phase="walks")
        for _ in range(MAX_TURNS):
            if not self._turned():
                break
        self._walk_fully(self._best(1), phase="polish", heat=0.0)
        while self._budget.is_limited and not self._is_done:
            self._walk_roughly(self._neighbour_starts(), phase="more layouts")
            self._walk_fully(self._best(NUM_FULL), phase="more walks", heat=2 * HEAT)
        self._confirm()

    def stop(self) -> None:
        """Interrupted: whatever the walks have found is offered."""
        self._budget.stop()
        self._collect("interrupted")

    @property
    def _is_done(self) -> bool:
        best = self._incumbent.best
        return self._budget.is_over or (best is not None and best.value >= self._full.most)

    def _equal_starts(self) -> list[Scored]:
        """Greedy fills of equal groups; of unequal ones where equal ones leave a model out."""
        starts = self._filled(equal_layouts(self._problem, self._hosts))
        best = sorted(starts, key=_by_value)
        layouts = [start.candidate.layout for start in best]
        starts += self._filled(list(side_by_side(layouts))[:NUM_OTHERS])
        if not starts or leaves_out(self._problem, min(starts, key=_by_value).candidate):
            for candidate in open_as_needed(self._problem):
                if not self._budget.is_over or not starts:
                    starts.append(fill_up(self._problem, candidate, self._budget).best)
        return self._distinct(starts)[:NUM_ROUGH]

    def _filled(self, layouts: Iterable[Layout]) -> list[Scored]:
        starts = []
        for layout in layouts:
            if self._budget.is_over and self._incumbent.best is not None:
                break
            filled = fill(self._problem, layout, self._budget)
            if filled is not None:
                starts.append(filled.best)
                self._offer([filled.best], phase=f"fill {len(layout)} x {layout[0].config}")
        return starts

    def _other_starts(self) -> list[Scored]:
        """Of the best three configurations, any two sharing the devices."""
        best = self._best(NUM_FULL)
        configs = list(dict.fromkeys(scored.candidate.layout[0].config for scored in best))
        pairs = [(one, other) for one in configs for other in configs if one != other]
        layouts = [layout for pair in pairs for layout in shared_between(self._hosts, *pair)]
        return self._taken_over(layouts, best)[: NUM_ROUGH - 2]

    def _neighbour_starts(self) -> list[Scored]:
        best = self._best(NUM_FULL)
        if not best:
            return []
        layouts = neighbours(self._problem, self._hosts, best[0].candidate.layout)
        return self._taken_over(layouts, best)[:NUM_FULL]

    def _taken_over(self, layouts: Iterable[Layout], found: Sequence[Scored]) -> list[Scored]:
        candidates = [scored.candidate for scored in found]
        starts: list[Scored] = []
        for layout in layouts:
            if self._budget.is_over or len(starts) == NUM_OTHERS:
                break
            start = taken_over(self._problem, layout, candidates)
            if start is not None and _key(layout) not in self._found:
                starts.append(start)
        return self._distinct(starts)

    def _turned(self) -> bool:
        """Whether a neighbour of the best layout turned out better."""
        if self._is_done:
            return False
        before = self._incumbent.best
        starts = self._neighbour_starts()
        self._walk_roughly(starts, phase="neighbours")
        new = {_key(start.candidate.layout) for start in starts}
        promising = [scored for scored in self._best(NUM_FULL) if _key(scored.candidate.layout) in new]
        self._walk_fully(promising, phase="neighbours")
        return self._incumbent.best is not before

    def _walk_roughly(self, starts: Sequence[Scored], *, phase: str) -> None:
        self._walk(starts, self._rough, ROUGH_STEPS, phase=phase, heat=HEAT)

    def _walk_fully(self, starts: Sequence[Scored], *, phase: str, heat: float = HEAT) -> None:
        self._walk(starts, self._full, FULL_STEPS, phase=phase, heat=heat)

    def _walk(
        self, starts: Sequence[Scored], scenario: Scenario, num_steps: int, *, phase: str, heat: float
    ) -> None:
        if self._budget.is_over or not starts:
            return
        seed = (self._problem.deployment.seed, next(self._seeds))
        self._walks = [
            Walk(self._problem, start, scenario, seed=(*seed, n)) for n, start in enumerate(starts)
        ]

        def run(walk: Walk) -> None:
            longer = max(1.0, (len(walk.layout) * self._problem.num_models / SMALL) ** 0.5)
            patience = int(PATIENCE * longer)
            walk.run(int(num_steps * longer), self._budget, heat=heat, patience=patience)

        if scenario.is_threaded and len(self._walks) > 1:
            with ThreadPoolExecutor(_num_threads()) as pool:
                list(pool.map(run, self._walks))
        else:
            for walk in self._walks:
                run(walk)
        self._collect(phase)

    def _collect(self, phase: str) -> None:
        walks, self._walks = self._walks, []
        for walk in walks:
            self._problem.count(walk.num_evaluated, walk.scenario.num_requests)
        self._offer([walk.best for walk in walks], phase=phase)

    def _offer(self, found: Sequence[Scored], *, phase: str) -> None:
        """Valued in full, remembered by layout, and offered, the best first."""
        valued = sorted((self._full.scored(one.candidate) for one in found), key=_by_value)
        self._problem.count(len(valued), self._full.num_requests)
        for scored in valued:
            key = _key(scored.candidate.layout)
            if key not in self._found or scored.value > self._found[key].value:
                self._found[key] = scored
            self._incumbent.offer(scored, phase=phase, num_evaluated=self._problem.num_evaluated)

    def _best(self, number: int) -> list[Scored]:
        """The best of the best layouts."""
        return sorted(self._found.values(), key=_by_value)[:number]

    @staticmethod
    def _distinct(starts: Iterable[Scored]) -> list[Scored]:
        """The best of every layout, best first."""
        found: dict[Layout, Scored] = {}
        for start in sorted(starts, key=_by_value):
            found.setdefault(_key(start.candidate.layout), start)
        return list(found.values())

    def _confirm(self) -> None:
        """Where searches score by a stand-in for the deployment's own policy, that one has the last word."""
        if self._problem.scored.policy == self._problem.deployment.policy:
            return
        best = self._incumbent.best
        finalists = [*([] if best is None else [best]), *self._best(2 * NUM_FULL)]
        chosen = confirmed(self._problem, finalists, self._budget)
        self._incumbent.settle(chosen, phase="confirm", num_evaluated=self._problem.num_evaluated)


def _by_value(scored: Scored) -> float:
    return -scored.value


def _key(layout: Layout) -> Layout:
    return tuple(sorted(layout, key=lambda mesh: (mesh.position, mesh.config)))


def _num_threads() -> int:
    return min(MAX_THREADS, len(os.sched_getaffinity(0)))


def overfit_gap(problem: Problem, candidate: Candidate) -> float:
    """Attainment on the trace, less that on traffic redrawn from it that no search has seen."""
    from placement.scenario import unseen

    seen = problem.tally(candidate).attainment
    return seen - Problem(problem.deployment, unseen(problem)).tally(candidate).attainment
