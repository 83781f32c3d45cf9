"""An upper bound on SLO attainment that holds for any placement and any scheduling policy."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts, bursts_of
from placement.bound.fleet import Choice, choices_of
from placement.bound.refine import refined
from vocabulary.deployment import Deployment
from vocabulary.outcomes import kept_rows
from vocabulary.trace import Trace

DEFAULT_BUDGET_S = 60.0
WINDOWS_PER_SLO = 4


@dataclass(frozen=True, slots=True)
class Bound:
    """No plan has a larger attainment, whoever schedules.

    attainment: share of the counted requests; seconds: what finding it took; num_windows: groups of requests
    that are told apart no further, window_s: the longest of them; num_columns, num_rows: of the largest
    programme that was solved, 0 if none was; is_exact: the programme was solved to its end, so that only
    narrower windows could say more; why_not: what ended it otherwise, empty where is_exact.
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
    """The best that a linear programme leaves possible, within about `budget_s` seconds (60 by default)."""
    start_s = time.perf_counter()
    budget_s = DEFAULT_BUDGET_S if budget_s is None else budget_s
    counted = _counted(trace.aligned_to(deployment.model_names), trim_s)
    choices = choices_of(deployment, generating=_asks_for_tokens(counted))
    bursts = bursts_of(counted, _widths_s(deployment, WINDOWS_PER_SLO))
    found = refined(deployment, choices, bursts, stop_s=start_s + budget_s)
    at_most = min(float(_servable(choices, bursts)), found.at_most)
    # Requests are whole.
    num_good = math.floor(at_most + 1e-6)
    attainment = min(1.0, num_good / len(counted)) if len(counted) else 1.0
    return Bound(
        attainment,
        time.perf_counter() - start_s,
        len(bursts),
        bursts.longest_s,
        found.num_columns,
        found.num_rows,
        found.is_optimal,
        "" if found.is_optimal else "budget",
    )


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


def _widths_s(deployment: Deployment, windows_per_slo: float) -> NDArray[np.float64]:
    return np.array([model.slo_s(deployment.latency) / windows_per_slo for model in deployment.models])


def _servable(choices: tuple[Choice, ...], bursts: Bursts) -> int:
    """Requests of models that can be in time somewhere."""
    models = {int(model) for choice in choices for model in choice.models}
    return int(bursts.count[np.isin(bursts.model, list(models))].sum())
