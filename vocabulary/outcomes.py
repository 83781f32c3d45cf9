"""What became of every request of a trace, as columns, and the statistics people ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vocabulary.deployment import Slo
from vocabulary.generation_statistics import GenerationStatistics
from vocabulary.request import Fate
from vocabulary.trace import Trace

FATES = tuple(Fate)
FATE_CODE = {fate: code for code, fate in enumerate(FATES)}
# In the columns below: a request that no group took.
NO_GROUP = -1


@dataclass(frozen=True)
class Outcomes:
    """One row a request, in arrival order.

    group_index: int32 [requests], NO_GROUP where no group took it; finish_s: float64 [requests], as the
    client sees it (fixed overhead included), meaningless where `fate` is not SERVED; fate: int8 [requests],
    codes of FATE_CODE; good: bool [requests], served within every SLO of its model.

    Only where requests ask for tokens: first_token_s: float64 [requests], as the client sees it, NaN without
    one; slos: of the trace's models; generation: what serving them took, by model.
    """

    trace: Trace
    group_index: NDArray[np.int32]
    finish_s: NDArray[np.float64]
    fate: NDArray[np.int8]
    good: NDArray[np.bool_]
    first_token_s: NDArray[np.float64] | None = None
    slos: tuple[Slo, ...] = ()
    generation: Mapping[str, GenerationStatistics] | None = None

    @property
    def served(self) -> NDArray[np.bool_]:
        return self.fate == FATE_CODE[Fate.SERVED]

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """Seconds from arrival to finish; NaN where the request was not served."""
        latency = self.finish_s - self.trace.arrival_s
        return np.where(self.served, latency, np.nan)

    @property
    def ttft_s(self) -> NDArray[np.float64]:
        """Seconds from arrival to the first token; NaN where no served request had one."""
        if self.first_token_s is None:
            return np.full(len(self.trace), np.nan)
        return np.where(self.served, self.first_token_s - self.trace.arrival_s, np.nan)

    @property
    def tpot_s(self) -> NDArray[np.float64]:
        """Mean seconds of each token after the first; NaN where a served request had fewer than two."""
        tokens = self.trace.tokens
        if self.first_token_s is None or tokens is None:
            return np.full(len(self.trace), np.nan)
        num_gaps = np.maximum(tokens.output_tokens - 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_s = (self.finish_s - self.first_token_s) / num_gaps
        return np.where(self.served & (num_gaps > 0), mean_s, np.nan)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of a set of requests. `p50_s` and `p99_s` are over served requests, None when there is none."""

    num_requests: int
    num_good: int
    num_served: int
    goodput_rps: float
    p50_s: float | None
    p99_s: float | None
    mean_s: float | None

    @property
    def slo_attainment(self) -> float:
        """Share of requests that were served within their SLO; 1 when there was none to miss."""
        return self.num_good / self.num_requests if self.num_requests else 1.0


def kept_rows(trace: Trace, trim_s: float) -> slice:
    """Rows left when the first and last int(trim_s / span x N) requests are dropped, as the artifact does."""
    if trim_s <= 0 or trace.duration_s <= 0:
        return slice(0, len(trace))
    dropped = int(trim_s / trace.duration_s * len(trace))
    return slice(dropped, max(dropped, len(trace) - dropped))


def statistics(outcomes: Outcomes, *, rows: slice, model_index: int | None = None) -> Statistics:
    """Of the rows in the slice, of one model when `model_index` is given."""
    arrivals = outcomes.trace.arrival_s[rows]
    span_s = float(arrivals[-1] - arrivals[0]) if len(arrivals) > 1 else 0.0
    chosen: slice | NDArray[np.int64] = rows
    if model_index is not None:
        first, _, _ = rows.indices(len(outcomes.trace))
        chosen = first + np.flatnonzero(outcomes.trace.model_index[rows] == model_index)
    num_good = int(outcomes.good[chosen].sum())
    served = outcomes.fate[chosen] == FATE_CODE[Fate.SERVED]
    latency_s = (outcomes.finish_s[chosen] - outcomes.trace.arrival_s[chosen])[served]
    p50_s, p99_s = (float(q) for q in np.quantile(latency_s, [0.5, 0.99])) if len(latency_s) else (None, None)
    return Statistics(
        num_requests=len(served),
        num_good=num_good,
        num_served=len(latency_s),
        goodput_rps=num_good / span_s if span_s > 0 else 0.0,
        p50_s=p50_s,
        p99_s=p99_s,
        mean_s=float(latency_s.mean()) if len(latency_s) else None,
    )
