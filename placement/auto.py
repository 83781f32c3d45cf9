"""The default search: every layout filled greedily, the best ones walked from, their neighbours looked at.

A placement is judged by the given trace and by traffic drawn anew from it (`placement.scenario`): what
only fits the given arrivals is not taken. Many layouts are walked on roughly, few in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from typing import final

from placement.budget import Budget
from placement.candidate import Candidate
from placement.confirm import confirmed
from placement.findings import Findings
from placement.greedy import Scored, fill, fill_up
from placement.groups import Layout, hosts_of
from placement.incumbent import Incumbent
from placement.layouts import equal_layouts, neighbours, shared_between, side_by_side
from placement.problem import Problem
from placement.required import leaves_out, open_as_needed
from placement.scenario import full, rough, unseen
from placement.starts import taken_over
from placement.walk import HEAT
from placement.walkers import Walkers
from simulator.generation.arrivals import asks_for_tokens

# Layouts that are walked on roughly, of those in full, and of those to the end. Configurations that share the
# devices by twos, and how many layouts are looked at beside the equal ones.
NUM_ROUGH, NUM_FULL, NUM_LAST = 5, 3, 2
NUM_SHARED, NUM_OTHERS = 3, 24
ROUGH_STEPS, FULL_STEPS, LAST_STEPS, POLISH_STEPS = 25, 100, 80, 50
# How often the layout may change for a neighbour of it.
MAX_TURNS = 1
# Nothing is left to gain: who misses less than this share of requests is not improved.
PERFECT = 0.9995


def auto(problem: Problem, incumbent: Incumbent, budget: Budget, *, first: Candidate | None = None) -> None:
    """Leaves its best placement in `incumbent`; the same for the same problem and seed, when it converges.

    first: a placement to go on from, beside all others.
    """
    search = _Search(problem, incumbent, budget)
    try:
        search.run(first)
    except KeyboardInterrupt:
        search.stop()
        raise


def overfit_gap(problem: Problem, candidate: Candidate) -> float:
    """Attainment on the trace, less that on traffic redrawn from it that no search has seen."""
    seen = problem.tally(candidate).attainment
    return seen - Problem(problem.deployment, unseen(problem)).tally(candidate).attainment


@final
class _Search:
    def __init__(self, problem: Problem, incumbent: Incumbent, budget: Budget) -> None:
        self._problem = problem
        self._incumbent = incumbent
        self._budget = budget
        self._hosts = hosts_of(problem.deployment.cluster)
        self._rough = rough(problem)
        self._stages = count()
        self._findings = Findings(problem, incumbent)
        self._walkers = Walkers(problem, self._findings, budget)

    def run(self, first: Candidate | None) -> None:
        """Until it has converged; with a time budget until that is over, or nothing is left to gain."""
        if first is not None:
            self._findings.offer([Scored(first, 0.0)], phase="given")
        self._walk_roughly(self._equal_starts(), phase="layouts")
        self._walk_roughly(self._other_starts(), phase="layouts")
        self._walk_fully(NUM_FULL, FULL_STEPS, phase="walks")
        self._walk_fully(NUM_LAST, LAST_STEPS, phase="walks", heat=HEAT / 2)
        for _ in range(MAX_TURNS):
            if not self._turned():
                break
        self._walk_fully(NUM_LAST, POLISH_STEPS, phase="polish", heat=0.0)
        while self._budget.is_limited and not self._is_done:
            self._walk_roughly(self._neighbour_starts(), phase="more layouts")
            self._walk_fully(NUM_FULL, LAST_STEPS, phase="more walks", heat=2 * HEAT)
        self._confirm()

    def stop(self) -> None:
        """Interrupted: whatever the walks have found is offered."""
        self._budget.stop()
        self._walkers.collect("interrupted")

    @property
    def _has_any(self) -> bool:
        """Whether something is placed."""
        best = self._incumbent.best
        return best is not None and best.candidate.num_replicas > 0

    @property
    def _is_done(self) -> bool:
        best = self._incumbent.best
        return self._budget.is_over or (best is not None and min(best.value, best.value_seen) >= PERFECT)

    def _equal_starts(self) -> list[Scored]:
        """Greedy fills of equal groups; of unequal ones where equal ones leave a model out."""
        starts = self._filled(equal_layouts(self._problem, self._hosts))
        # What the published algorithm would answer, or better: below that no plan is taken.
        self._incumbent.floor = self._findings.most_on_trace
        layouts = [start.candidate.layout for start in self._findings.best_starts(starts)]
        starts += self._filled(side_by_side(layouts))
        best = self._findings.best_starts(starts)
        if not best or leaves_out(self._problem, best[0].candidate):
            starts += self._opened()
        return self._findings.best_starts(starts)[:NUM_ROUGH]

    def _opened(self) -> list[Scored]:
        starts: list[Scored] = []
        candidates = open_as_needed(self._problem)
        # Asked first: that generator takes its time before it gives any.
        while not (self._has_any and self._budget.is_over):
            candidate = next(candidates, None)
            if candidate is None:
                break
            starts.append(fill_up(self._problem, candidate, self._budget).best)
            self._findings.offer(starts[-1:], phase="open unequal groups")
        return starts

    def _filled(self, layouts: Iterable[Layout]) -> list[Scored]:
        starts: list[Scored] = []
        for layout in layouts:
            if self._has_any and self._is_done:
                break
            filled = fill(self._problem, layout, self._budget)
            if filled is not None:
                starts.append(filled.best)
                self._findings.offer(starts[-1:], phase=f"fill {len(layout)} x {layout[0].config}")
        return starts

    def _other_starts(self) -> list[Scored]:
        """Of the best few configurations, any two sharing the devices."""
        best = self._findings.best(NUM_SHARED)
        configs = list(dict.fromkeys(scored.candidate.layout[0].config for scored in best))
        pairs = [(one, other) for one in configs for other in configs if one != other]
        layouts = (layout for pair in pairs for layout in shared_between(self._hosts, *pair))
        return self._taken_over(layouts, best)[:NUM_ROUGH]

    def _neighbour_starts(self) -> list[Scored]:
        best = self._findings.best(NUM_FULL)
        if not best:
            return []
        layouts = neighbours(self._problem, self._hosts, best[0].candidate.layout)
        return self._taken_over(layouts, best)[:NUM_LAST]

    def _taken_over(self, layouts: Iterable[Layout], found: Sequence[Scored]) -> list[Scored]:
        candidates = [scored.candidate for scored in found]
        starts: list[Scored] = []
        for layout in layouts:
            if self._is_done or len(starts) == NUM_OTHERS:
                break
            start = None if self._findings.has(layout) else taken_over(self._problem, layout, candidates)
            if start is not None:
                starts.append(start)
        return self._findings.best_starts(starts)

    def _turned(self) -> bool:
        """Whether a neighbour of the best layout turned out better."""
        before = self._incumbent.best
        starts = self._neighbour_starts()
        self._walk_roughly(starts, phase="neighbours")
        if self._findings.share_layouts(starts, self._findings.best(NUM_LAST)):
            self._walk_fully(NUM_LAST, LAST_STEPS, phase="neighbours")
        return self._incumbent.best is not before

    def _walk_roughly(self, starts: Sequence[Scored], *, phase: str) -> None:
        if starts and not self._is_done:
            self._walkers.walk(starts, self._rough, ROUGH_STEPS, phase=phase)

    def _walk_fully(self, number: int, num_steps: int, *, phase: str, heat: float = HEAT) -> None:
        """From the best of so many layouts."""
        starts = self._findings.best(number)
        if starts and not self._is_done:
            scenario = full(self._problem, next(self._stages))
            self._walkers.walk(starts, scenario, num_steps, phase=phase, heat=heat)

    def _confirm(self) -> None:
        """Where searches score by a stand-in for the deployment's own policy, that one has the last word.

        So have requests that ask for tokens, which searches score as if each were one piece of work.
        """
        best = self._incumbent.best
        problem = self._problem
        is_alike = problem.scored.policy == problem.deployment.policy and not asks_for_tokens(problem.trace)
        if best is None or is_alike:
            return
        finalists = [best, *self._findings.best(NUM_ROUGH)]
        chosen = confirmed(problem, finalists, self._budget)
        self._incumbent.settle(chosen, phase="confirm", num_evaluated=self._problem.num_evaluated)
