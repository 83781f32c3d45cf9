"""How soon tokens came: objectives of the first and of those after it, and the times themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.outcomes import Outcomes
from vocabulary.units import TIME_TOLERANCE_S


@dataclass(frozen=True, slots=True)
class PaceStatistics:
    """Of served requests, p50_s and p99_s; None when there is none.

    slo_attainment: share of the requests with this objective that were served within it; None when no model
    has it.
    """

    slo_attainment: float | None
    p50_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Of requests that asked for tokens: until the first came, and of each after it."""

    num_input_tokens: int
    num_output_tokens: int
    ttft: PaceStatistics
    tpot: PaceStatistics


def keeps_ttft(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Served, and the first token came within the objective of its model, if there is one [requests]."""
    return outcomes.served & _is_within(outcomes.ttft_s, _ttft_slo_s(outcomes))


def keeps_tpot(outcomes: Outcomes) -> NDArray[np.bool_]:
    """Served, and the tokens after the first came within their objective, if there are any [requests]."""
    return outcomes.served & _is_within(outcomes.tpot_s, _tpot_slo_s(outcomes))


def token_statistics(outcomes: Outcomes, *, rows: slice, model_index: int | None = None) -> TokenStatistics:
    """Of the rows in the slice that asked for tokens, of one model when `model_index` is given."""
    tokens = outcomes.trace.tokens
    assert tokens is not None, "no request asked for tokens"
    mask = np.zeros(len(outcomes.trace), dtype=bool)
    mask[rows] = True
    mask &= tokens.output_tokens > 0
    if model_index is not None:
        mask &= outcomes.trace.model_index == model_index
    return TokenStatistics(
        num_input_tokens=int(tokens.input_tokens[mask].sum(dtype=np.int64)),
        num_output_tokens=int(tokens.output_tokens[mask & outcomes.served].sum(dtype=np.int64)),
        ttft=_pace(outcomes.ttft_s, keeps_ttft(outcomes), _ttft_slo_s(outcomes), mask),
        tpot=_pace(outcomes.tpot_s, keeps_tpot(outcomes), _tpot_slo_s(outcomes), mask),
    )


def _pace(
    seconds: NDArray[np.float64], kept: NDArray[np.bool_], slo_s: NDArray[np.float64], mask: NDArray[np.bool_]
) -> PaceStatistics:
    has_slo = mask & np.isfinite(slo_s)
    known = seconds[mask & ~np.isnan(seconds)]
    p50_s, p99_s = (float(q) for q in np.quantile(known, [0.5, 0.99])) if len(known) else (None, None)
    return PaceStatistics(float(kept[has_slo].mean()) if has_slo.any() else None, p50_s, p99_s)


def _is_within(seconds: NDArray[np.float64], slo_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    # NaN, where there is nothing to miss, is not above anything.
    return ~(seconds > slo_s + TIME_TOLERANCE_S)


def _ttft_slo_s(outcomes: Outcomes) -> NDArray[np.float64]:
    return _of_requests([slo.ttft_s for slo in outcomes.slos], outcomes)


def _tpot_slo_s(outcomes: Outcomes) -> NDArray[np.float64]:
    return _of_requests([slo.tpot_s for slo in outcomes.slos], outcomes)


def _of_requests(slos_s: Sequence[float | None], outcomes: Outcomes) -> NDArray[np.float64]:
    """The objective of each request's model, infinite without one."""
    if not slos_s:
        return np.full(len(outcomes.trace), np.inf)
    by_model = np.array([np.inf if slo_s is None else slo_s for slo_s in slos_s])
    return by_model[outcomes.trace.model_index]
