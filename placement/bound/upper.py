"""An upper bound on SLO attainment that holds for any placement and any scheduling policy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from placement.bound.bursts import Bursts, bursts_of
from placement.bound.fleet import Choice, choices_of
from placement.bound.parts import Solved, solved
from vocabulary.deployment import Deployment
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace

DEFAULT_BUDGET_S = 60.0
# Widths of windows: below a quarter of the SLO they say hardly more (docs/decisions/0016-upper-bound.md).
WINDOWS_PER_SLO = (4.0, 2.0, 1.0)
# Windows of one programme; above, they get wider, then the trace is cut into pieces.
MOST_WINDOWS = 6000
# Requests that rounding may have taken from a sum.
WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class Bound:
    """No plan has a larger attainment, whoever schedules.

    attainment: share of the counted requests; seconds: what finding it took; num_windows: groups of requests
    of one model that are told apart no further, window_s: from the first to the last arrival of the longest;
    num_columns, num_rows: of the largest programme, 0 if none was solved; is_exact: nothing that could be
    added lowers it, so that only narrower windows might; why_not: what ended it otherwise, else empty.
    """

    attainment: float
    seconds: float
    num_windows: int
    window_s: float
    num_columns: int
    num_rows: int
    is_exact: bool
    why_not: str


def upper_bound(
    deployment: Deployment, trace: Trace, *, trim_s: float = 0.0, budget_s: float | None = None
) -> Bound:
    """The best that a linear programme leaves possible, within about `budget_s` seconds (60 by default).

    Valid for any placement on the deployment's free devices, whatever else its constraints ask, and for any
    admission, routing, order, batching (where the policy batches) and knowledge of the future.
    """
    start_s = time.perf_counter()
    stop_s = start_s + (DEFAULT_BUDGET_S if budget_s is None else budget_s)
    counted = _counted(trace.aligned_to(deployment.model_names), trim_s)
    choices = choices_of(deployment, generating=_asks_for_tokens(counted))
    pieces = _pieces(counted, deployment)
    num_good = 0
    found: list[Solved] = []
    for number, bursts in enumerate(pieces):
        now_s = time.perf_counter()
        until_s = now_s + max(0.0, stop_s - now_s) / (len(pieces) - number)
        found.append(solved(deployment, choices, bursts, stop_s=until_s))
        # Requests are whole.
        num_good += math.floor(min(_servable(choices, bursts), found[-1].at_most) + WHOLE)
    why_not = _why_not(len(pieces), all(piece.is_exact for piece in found))
    return Bound(
        min(1.0, num_good / len(counted)) if len(counted) else 1.0,
        time.perf_counter() - start_s,
        sum(map(len, pieces)),
        max((bursts.longest_s for bursts in pieces), default=0.0),
        max((piece.num_columns for piece in found), default=0),
        max((piece.num_rows for piece in found), default=0),
        not why_not,
        why_not,
    )


def _why_not(num_pieces: int, is_exact: bool) -> str:
    pieces = f"{num_pieces} pieces of the trace, each as if placed for alone" if num_pieces > 1 else ""
    return "; ".join(filter(None, (pieces, "" if is_exact else "the budget ended first")))


def _pieces(trace: Trace, deployment: Deployment) -> list[Bursts]:
    """The windows of the whole trace, or of parts in time that are small enough.

    What is served of a part is at most what a fleet that has only this part to serve can.
    """
    slos_s = np.array([model.slo_s(deployment.latency) for model in deployment.models])
    for windows_per_slo in WINDOWS_PER_SLO:
        bursts = bursts_of(trace, slos_s / windows_per_slo)
        if len(bursts) <= MOST_WINDOWS:
            return [bursts] if len(bursts) else []
    widths_s = slos_s / WINDOWS_PER_SLO[-1]
    bursts = bursts_of(trace, widths_s)
    num_pieces = math.ceil(len(bursts) / MOST_WINDOWS)
    return [
        bursts_of(trace.take(rows), widths_s) for rows in np.array_split(np.arange(len(trace)), num_pieces)
    ]


def _counted(trace: Trace, trim_s: float) -> Trace:
    """Requests that statistics count. The others only take time, so leaving them out raises the optimum."""
    rows = kept_rows(trace, trim_s)
    return trace.take(np.arange(len(trace))[rows])


def _asks_for_tokens(trace: Trace) -> list[bool]:
    """Models with requests that last as long as their answers: nothing is assumed of their time [models]."""
    if trace.tokens is None:
        return [False] * len(trace.models)
    asking = trace.model_index[trace.tokens.output_tokens > 0]
    return list(np.isin(np.arange(len(trace.models)), asking))


def _servable(choices: tuple[Choice, ...], bursts: Bursts) -> int:
    """Requests of models whose requests can be in time somewhere."""
    models = {int(model) for choice in choices for model in choice.models}
    return int(bursts.count[np.isin(bursts.model, list(models))].sum())
