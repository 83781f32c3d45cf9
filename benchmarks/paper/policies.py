"""The four policies of the figures: each plans on one trace and is scored on another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from placement.search import search
from simulator.fast import Scorer, score
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.trace import Trace

# Clockwork++ of the paper: selective replication solved anew on every coming window.
WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Score:
    attainment: float
    seconds: float


def attainment_of(algorithm: str, fleet: Deployment, train: Trace, test: Trace) -> float:
    """Of one plan, found on `train`, over all of `test`; 0 where nothing fits."""
    try:
        placement = search(fleet, train, algorithm=algorithm).placement
    except Infeasible:
        return 0.0
    return float(score(placement, test, deployment=fleet).good.mean())


def clockwork(fleet: Deployment, train: Trace, test: Trace) -> float:
    """Selective replication planned on the very window that it then serves, swapped in at no cost.

    Queues are empty at the start of a window, as in the artifact: an oracle, not a system.
    """
    num_good = 0
    for window in windows(test):
        try:
            placement = search(fleet, window, algorithm="sr-greedy").placement
        except Infeasible:
            continue
        num_good += int(Scorer(window, deployment=fleet).outcomes(placement).good.sum())
    return num_good / len(test)


def windows(trace: Trace) -> list[Trace]:
    """Pieces of WINDOW_S, each from time 0; empty ones are left out."""
    number = (trace.arrival_s // WINDOW_S).astype(np.int64)
    borders = np.flatnonzero(np.diff(number, prepend=-1, append=-1)).tolist()
    return [
        Trace(
            trace.arrival_s[start:stop] - number[start] * WINDOW_S,
            trace.model_index[start:stop],
            trace.models,
        )
        for start, stop in pairwise(borders)
        if stop > start
    ]


POLICIES: dict[str, Callable[[Deployment, Trace, Trace], float]] = {
    "statmux (auto)": lambda fleet, train, test: attainment_of("auto", fleet, train, test),
    "AlpaServe (mp-search)": lambda fleet, train, test: attainment_of("mp-search", fleet, train, test),
    "Clockwork++": clockwork,
    "selective replication": lambda fleet, train, test: attainment_of("sr-greedy", fleet, train, test),
}


def scored(policy: str, fleet: Deployment, train: Trace, test: Trace) -> Score:
    start_s = time.perf_counter()
    attainment = POLICIES[policy](fleet, train, test)
    return Score(attainment, time.perf_counter() - start_s)
