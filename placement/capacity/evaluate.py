"""One point of a study: plan for it where that is asked, simulate its traffic, say what came out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from placement.capacity.intervals import over_draws, over_windows
from placement.capacity.points import Point, deployment_at
from placement.capacity.results import Bottleneck, ModelResult, Result
from placement.explain import binding_constraints, utilisations
from placement.search import search
from simulator.confidence import Interval
from simulator.fast_or_events import outcomes_of
from simulator.traffic.resample import WINDOW_S, Scales, resampled
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.outcomes import FATES, Outcomes, Statistics, kept_rows, statistics
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.token_outcomes import TokenStatistics, token_statistics
from vocabulary.trace import Trace

# Plans are made on a draw of their own: attainment on the very draw planned for would flatter them.
TRAINING_SEED = 1_000_003


@dataclass(frozen=True, slots=True)
class Study:
    """What all points have in common. Traces are aligned to the deployment.

    train: traffic to plan on, before scaling. is_drawn: arrivals are drawn anew at every point, not only
    where cv_scale needs it; else the trace is replayed, faster by rate_scale. num_draws: of drawn traffic.
    window_s: seconds of the trace in which its rate and CV count as steady, where it is drawn from.
    """

    deployment: Deployment
    trace: Trace
    train: Trace
    trim_s: float = 0.0
    seed: int = 0
    num_draws: int = 1
    is_drawn: bool = False
    window_s: float = WINDOW_S


@dataclass(frozen=True, slots=True)
class Probe:
    """A question: what does this point attain, on `placement`, or on what `algorithm` plans for it?"""

    point: Point
    algorithm: str | None = None
    placement: Placement | None = None

    def __post_init__(self) -> None:
        assert (self.algorithm is None) != (self.placement is None), self


def evaluate(study: Study, probe: Probe) -> Result:
    """The same result for the same study and probe, but for `seconds`.

    Raises KeyboardInterrupt when its search was interrupted: half a search is no answer.
    """
    start_s = time.perf_counter()
    deployment = deployment_at(study.deployment, probe.point)
    placement, num_evaluated = probe.placement, 0
    if probe.algorithm is not None:
        try:
            found = search(
                deployment,
                _training(study, probe.point),
                algorithm=probe.algorithm,
                trim_s=_trim_s(study, probe.point),
            )
        except Infeasible as error:
            return _nothing(study, probe.point, str(error), time.perf_counter() - start_s)
        if not found.is_complete:
            raise KeyboardInterrupt
        placement, num_evaluated = found.placement, found.num_evaluated
    assert placement is not None
    outcomes = [outcomes_of(placement, one, deployment=deployment) for one in _traffic(study, probe.point)]
    trim_s = _trim_s(study, probe.point)
    result = _result(placement, outcomes, deployment, trim_s=trim_s, seed=study.seed)
    return replace(result, num_evaluated=num_evaluated, seconds=time.perf_counter() - start_s)


def first_outcomes(study: Study, point: Point, placement: Placement) -> Outcomes:
    """Request by request, what a point's result says of its first draw of traffic."""
    deployment = deployment_at(study.deployment, point)
    return outcomes_of(placement, next(_traffic(study, point)), deployment=deployment)


def is_drawn(study: Study, point: Point) -> bool:
    """Whether arrivals are drawn anew at a point."""
    return study.is_drawn or point.cv_scale is not None


def plans_on_what_it_serves(study: Study) -> bool:
    """Whether plans see the very requests that they are judged by, where arrivals are replayed."""
    return study.train is study.trace and not study.is_drawn


def _traffic(study: Study, point: Point) -> Iterator[Trace]:
    num_draws = study.num_draws if is_drawn(study, point) else 1
    for number in range(num_draws):
        yield _scaled(study, study.trace, point, seed=study.seed + number)


def _training(study: Study, point: Point) -> Trace:
    return _scaled(study, study.train, point, seed=study.seed + TRAINING_SEED)


def _scaled(study: Study, trace: Trace, point: Point, *, seed: int) -> Trace:
    if not is_drawn(study, point):
        return replace(trace, arrival_s=trace.arrival_s / point.rate_scale)
    scales = Scales(rate=point.rate_scale, cv=1.0 if point.cv_scale is None else point.cv_scale)
    return resampled(trace, scales=scales, window_s=study.window_s, seed=seed)


def _trim_s(study: Study, point: Point) -> float:
    """The same requests are left out when the trace is replayed faster."""
    return study.trim_s if is_drawn(study, point) else study.trim_s / point.rate_scale


def _nothing(study: Study, point: Point, why: str, seconds: float) -> Result:
    rate_rps = len(study.trace) / study.trace.duration_s * point.rate_scale if len(study.trace) else 0.0
    return Result(
        slo_attainment=0.0, low=None, high=None, draws=(0.0,), num_requests=len(study.trace),
        rate_rps=rate_rps, goodput_rps=0.0, p50_s=None, p99_s=None, seconds=seconds, infeasible=why,
    )  # fmt: skip


def _result(
    placement: Placement, outcomes: list[Outcomes], deployment: Deployment, *, trim_s: float, seed: int
) -> Result:
    first, first_rows = outcomes[0], kept_rows(outcomes[0].trace, trim_s)
    totals = [statistics(one, rows=kept_rows(one.trace, trim_s)) for one in outcomes]
    draws = tuple(total.slo_attainment for total in totals)
    interval = _interval(first, first_rows, draws, seed=seed)
    busy = utilisations(placement, first, deployment)
    return Result(
        slo_attainment=float(np.mean(draws)),
        low=interval.low,
        high=interval.high,
        draws=draws,
        num_requests=totals[0].num_requests,
        rate_rps=_rate_rps(first, first_rows),
        goodput_rps=float(np.mean([total.goodput_rps for total in totals])),
        p50_s=_mean([total.p50_s for total in totals]),
        p99_s=_mean([total.p99_s for total in totals]),
        seconds=0.0,
        missed=_reasons(first, first_rows),
        models={
            name: replace(
                _model([_of_model(one, trim_s, index) for one in outcomes]),
                tokens=_tokens(first, first_rows, index),
            )
            for index, name in enumerate(first.trace.models)
        },
        utilisations={group.id: share for group, share in zip(placement.groups, busy, strict=True)},
        bottleneck=_bottleneck(placement, first, deployment, busy),
        placement=placement,
        tokens=_tokens(first, first_rows),
    )


def _tokens(outcomes: Outcomes, rows: slice, model_index: int | None = None) -> TokenStatistics | None:
    """None where no request asked for tokens."""
    if outcomes.first_token_s is None:
        return None
    found = token_statistics(outcomes, rows=rows, model_index=model_index)
    return found if found.num_input_tokens or found.num_output_tokens else None


def _interval(first: Outcomes, rows: slice, draws: tuple[float, ...], *, seed: int) -> Interval:
    if len(draws) > 1:
        return over_draws(draws)
    return over_windows(first.good[rows], first.trace.arrival_s[rows], seed=seed)


def _of_model(outcomes: Outcomes, trim_s: float, index: int) -> Statistics:
    return statistics(outcomes, rows=kept_rows(outcomes.trace, trim_s), model_index=index)


def _model(found: list[Statistics]) -> ModelResult:
    return ModelResult(
        slo_attainment=float(np.mean([one.slo_attainment for one in found])),
        num_requests=found[0].num_requests,
        p50_s=_mean([one.p50_s for one in found]),
        p99_s=_mean([one.p99_s for one in found]),
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _rate_rps(outcomes: Outcomes, rows: slice) -> float:
    arrival_s = outcomes.trace.arrival_s[rows]
    span_s = float(arrival_s[-1] - arrival_s[0]) if len(arrival_s) > 1 else 0.0
    return len(arrival_s) / span_s if span_s > 0 else 0.0


def _reasons(outcomes: Outcomes, rows: slice) -> dict[str, int]:
    counts = np.bincount(outcomes.fate[rows], minlength=len(FATES))
    reasons = {
        fate.value: int(count)
        for fate, count in zip(FATES, counts, strict=True)
        if count and fate is not Fate.SERVED
    }
    num_late = int((outcomes.served[rows] & ~outcomes.good[rows]).sum())
    return reasons | ({"late": num_late} if num_late else {})


def _bottleneck(
    placement: Placement, outcomes: Outcomes, deployment: Deployment, busy: list[float]
) -> Bottleneck | None:
    if not len(outcomes.trace) or not busy:
        return None
    missed = np.bincount(outcomes.trace.model_index[~outcomes.good], minlength=len(outcomes.trace.models))
    group, model = int(np.argmax(busy)), int(missed.argmax())
    sentences = binding_constraints(placement, outcomes, deployment=deployment)
    return Bottleneck(
        group=placement.groups[group].id,
        utilisation=busy[group],
        model=outcomes.trace.models[model],
        num_missed=int(missed[model]),
        sentence="; ".join(sentences) or "nothing binds: every request is in time",
    )
