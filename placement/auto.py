"""The default search: every layout filled greedily, beside the published algorithms; then local search.

A walk that only fits the training arrivals is not taken: its gain is first measured on the half of the trace
that it has not seen (two-fold cross validation).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from placement.baselines import Algorithm, mp_round_robin, mp_search, published_layouts
from placement.buckets import buckets_of, likely_splits, search_splits
from placement.candidate import Candidate
from placement.greedy import Scored, fill, fill_up
from placement.groups import Host, Layout, carve, hosts_of, num_free
from placement.improve import improve
from placement.incumbent import Incumbent
from placement.problem import Problem
from placement.required import open_as_needed

# Simulated requests that bucketed searches may cost, a few seconds; the splits of devices that are nearest to
# the split of load come first.
SPLIT_REQUESTS = 160_000_000
# Layouts to improve: so many, and none that starts worse than this below the best.
MAX_STARTS = 3
MAX_DEFICIT = 0.03
# Simulated requests that one walk may cost, about half a second; and bounds on its length.
WALK_REQUESTS = 12_000_000
WALK_EVALUATIONS = (50, 1000)
# Nothing is left to gain.
PERFECT = 0.9995


def auto(problem: Problem, incumbent: Incumbent) -> None:
    """Leaves its best placement in `incumbent`; the same for the same problem and seed."""
    hosts = hosts_of(problem.deployment.cluster)
    starts: list[Scored] = []
    for phase, found in _starts(problem, hosts, incumbent):
        if found is not None:
            starts.append(found)
        incumbent.offer(found, phase=phase, num_evaluated=problem.num_evaluated)
    if starts and max(start.value for start in starts) < PERFECT:
        _improve_best(problem, starts, incumbent)


def _starts(
    problem: Problem, hosts: tuple[Host, ...], incumbent: Incumbent
) -> Iterator[tuple[str, Scored | None]]:
    for layout in layouts(problem, hosts):
        filled = fill(problem, layout)
        yield f"fill {len(layout)} x {layout[0].config}", filled.best if filled else None
    if incumbent.best is None or _leaves_out(problem, incumbent.best.candidate):
        for candidate in open_as_needed(problem):
            yield "open unequal groups", fill_up(problem, candidate).best
    num_evaluated = problem.num_evaluated
    whole = problem if problem.trim_s == 0.0 else problem.untrimmed()
    if whole is not problem:
        yield "mp-search", _best_of(problem, whole, mp_search)
    yield "mp-round-robin", _best_of(problem, whole, mp_round_robin)
    buckets = buckets_of(problem)
    if len(buckets) > 1:
        # One split costs about as much as all layouts did before.
        max_splits = SPLIT_REQUESTS // max(1, num_evaluated * len(problem.trace))
        splits = likely_splits(problem, buckets, num_free(hosts))[: max(1, max_splits)]
        search = partial(search_splits, buckets=buckets, splits=splits)
        yield "mp-search-sep", _best_of(problem, whole, search)
    if whole is not problem:
        problem.num_evaluated += whole.num_evaluated


def layouts(problem: Problem, hosts: tuple[Host, ...]) -> Iterator[Layout]:
    """The published layouts, then equal groups of every other configuration that a profile has."""
    seen = set()
    for layout in published_layouts(hosts):
        seen.add(layout[0].config)
        yield layout
    profiles = [model.profile for model in problem.deployment.models if model.profile is not None]
    for config in sorted({config for profile in profiles for config in profile.entries} - seen):
        layout = carve(hosts, config)
        if layout:
            yield layout


def _leaves_out(problem: Problem, candidate: Candidate) -> bool:
    """Whether a model that is asked for has no place."""
    asked = np.flatnonzero(problem.trace.counts())
    return any(not candidate.replicas_of(int(model)) for model in asked)


def _improve_best(problem: Problem, starts: list[Scored], incumbent: Incumbent) -> None:
    starts = sorted(starts, key=lambda scored: -scored.value)
    worth_it: dict[Layout, Scored] = {}
    for start in starts:
        if start.value >= starts[0].value - MAX_DEFICIT:
            worth_it.setdefault(tuple(sorted(start.candidate.layout, key=lambda m: m.position)), start)
    promises = []
    for start in list(worth_it.values())[:MAX_STARTS]:
        gain = _unseen_gain(problem, start)
        incumbent.offer(None, phase="cross validation", num_evaluated=problem.num_evaluated)
        promises.append((start.value + max(0.0, gain), gain, start))
    _, gain, start = max(promises, key=lambda promise: promise[0])
    if gain > 0:
        incumbent.offer(
            _walk(problem, start, seed=0, incumbent=incumbent),
            phase="improve",
            num_evaluated=problem.num_evaluated,
        )


def _unseen_gain(problem: Problem, start: Scored) -> float:
    """Mean gain in value that a walk on one half of the trace has on the other half."""
    halves = problem.halves()
    gain = 0.0
    for number, (seen, unseen) in enumerate((halves, halves[::-1])):
        walked = _walk(seen, _rescored(seen, start), seed=1 + number).candidate
        gain += unseen.value(walked, unseen.tally(walked))
        gain -= unseen.value(start.candidate, unseen.tally(start.candidate))
    problem.num_evaluated += sum(half.num_evaluated for half in halves)
    return gain / 2


def _walk(problem: Problem, start: Scored, *, seed: int, incumbent: Incumbent | None = None) -> Scored:
    shortest, longest = WALK_EVALUATIONS
    return improve(
        problem,
        start,
        num_evaluations=min(longest, max(shortest, WALK_REQUESTS // max(1, problem.num_requests))),
        rng=np.random.Generator(np.random.PCG64(np.random.SeedSequence((problem.deployment.seed, seed)))),
        on_better=lambda scored: (
            incumbent.offer(scored, phase="improve", num_evaluated=problem.num_evaluated)
            if incumbent
            else None
        ),
    )


def _best_of(problem: Problem, whole: Problem, algorithm: Algorithm) -> Scored | None:
    """What a published algorithm finds on the whole trace, valued on the rows that count here."""
    incumbent = Incumbent()
    algorithm(whole, incumbent)
    return _rescored(problem, incumbent.best) if incumbent.best else None


def _rescored(problem: Problem, found: Scored) -> Scored:
    """The same placement, valued on the rows that count here."""
    return Scored(found.candidate, problem.value(found.candidate, problem.tally(found.candidate)))
