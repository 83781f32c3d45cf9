"""When traffic is no longer what a plan was made for: rates, burstiness and attainment, with confidence.

Counts of a renewal process with a gap variation of c have a variance of about c^2 times their mean (Cox
1962), so what c is decides how far a count may stray before that means anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vocabulary.deployment import Deployment
from vocabulary.trace import Trace
from vocabulary.versions import Split

# Standard deviations: some hundred comparisons an hour, of which one in a month may be wrong.
Z = 4.5
# A change that matters to a plan: of the model's own rate, and of all traffic.
LEAST_CHANGE, LEAST_SHARE = 0.25, 0.02
# Variations of gaps differ in earnest beyond this factor; below so many gaps none is told.
CV_FACTOR, LEAST_GAPS = 1.6, 200
# Points of attainment below what was promised, and answers without which nothing is told.
LEAST_SHORTFALL, LEAST_ANSWERS = 0.03, 200


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Arrivals of a model: how many, over how long, and the variation of their gaps (1.0 where not known)."""

    num_arrivals: float
    span_s: float
    cv: float = 1.0

    @property
    def rate_rps(self) -> float:
        return self.num_arrivals / self.span_s if self.span_s > 0 else 0.0

    @property
    def variance(self) -> float:
        """Of the rate, as an estimate. One arrival more or less is possible of any count."""
        if self.span_s <= 0:
            return math.inf
        return max(self.cv, 0.5) ** 2 * max(self.num_arrivals, 1.0) / self.span_s**2


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a plan was made for. attainment: the share in time that it promised, None where it told none."""

    rhythms: Mapping[str, Rhythm]
    attainment: float | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A window of traffic. num_good of num_answered were in time, of those with an objective."""

    rhythms: Mapping[str, Rhythm]
    num_answered: int = 0
    num_good: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """Sentences, none where nothing has drifted."""

    reasons: tuple[str, ...] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.reasons)


def drift(expected: Expectation, observed: Observation) -> Drift:
    """Whether a plan made for one should be looked at again because of the other."""
    total_rps = sum(rhythm.rate_rps for rhythm in observed.rhythms.values())
    total_rps = max(total_rps, sum(rhythm.rate_rps for rhythm in expected.rhythms.values()))
    reasons: list[str] = []
    for model in sorted(expected.rhythms.keys() | observed.rhythms.keys()):
        old = expected.rhythms.get(model, Rhythm(0.0, _span_s(expected)))
        new = observed.rhythms.get(model, Rhythm(0.0, _span_s(observed)))
        reasons += [*_rate_drift(model, old, new, total_rps), *_burst_drift(model, old, new)]
    return Drift((*reasons, *_shortfall(expected, observed)))


def rhythms_of(trace: Trace, *, span_s: float) -> dict[str, Rhythm]:
    """Of every model of the trace, over a window of so many seconds."""
    found: dict[str, Rhythm] = {}
    for index, name in enumerate(trace.models):
        arrival_s = trace.arrival_s[trace.model_index == index]
        found[name] = Rhythm(float(len(arrival_s)), span_s, _cv(arrival_s))
    return found


def expectation_of(trace: Trace, *, attainment: float | None = None) -> Expectation:
    """Of a plan that was made for a trace."""
    return Expectation(rhythms_of(trace, span_s=max(trace.duration_s, 1e-9)), attainment)


def rescaled(expected: Expectation, deployment: Deployment, splits: Mapping[str, Split]) -> Expectation:
    """With the traffic of models with versions shared out as the splits now say: who changes a split knows
    that the rates change."""
    rhythms = dict(expected.rhythms)
    for split in deployment.splits:
        if splits.get(split.model) == split:
            continue
        names = [f"{split.model}@{version}" for version in split.versions]
        known = [rhythms[name] for name in names if name in rhythms]
        if known:
            total = sum(rhythm.num_arrivals for rhythm in known)
            for name, version in zip(names, split.versions, strict=True):
                rhythms[name] = Rhythm(total * split.share(version), known[0].span_s, known[0].cv)
    return Expectation(rhythms, expected.attainment)


def _span_s(one: Expectation | Observation) -> float:
    return max((rhythm.span_s for rhythm in one.rhythms.values()), default=0.0)


def _rate_drift(model: str, old: Rhythm, new: Rhythm, total_rps: float) -> list[str]:
    change = new.rate_rps - old.rate_rps
    spread = math.sqrt(old.variance + new.variance)
    is_sure = abs(change) > Z * spread
    matters = abs(change) > max(LEAST_CHANGE * old.rate_rps, LEAST_SHARE * total_rps)
    if not (is_sure and matters):
        return []
    return [f"{model} is asked for {new.rate_rps:.3g} times a second, {old.rate_rps:.3g} were expected"]


def _burst_drift(model: str, old: Rhythm, new: Rhythm) -> list[str]:
    if min(old.num_arrivals, new.num_arrivals) < LEAST_GAPS or min(old.cv, new.cv) <= 0.0:
        return []
    factor = new.cv / old.cv
    if 1 / CV_FACTOR < factor < CV_FACTOR:
        return []
    return [f"gaps between requests for {model} vary by {new.cv:.2f}, {old.cv:.2f} was expected"]


def _shortfall(expected: Expectation, observed: Observation) -> list[str]:
    count = observed.num_answered
    if expected.attainment is None or count < LEAST_ANSWERS:
        return []
    share = observed.num_good / count
    # A binomial share; requests that wait for one another are not independent, hence the least shortfall.
    spread = math.sqrt(max(expected.attainment * (1 - expected.attainment), 1 / count) / count)
    if expected.attainment - share <= max(LEAST_SHORTFALL, Z * spread):
        return []
    return [f"{share:.2%} of {count} requests were in time, {expected.attainment:.2%} were expected"]


def _cv(arrival_s: np.ndarray) -> float:
    """Of the gaps; 1.0, as of a Poisson process, where there are too few to say."""
    gaps_s = np.diff(arrival_s)
    if len(gaps_s) < LEAST_GAPS or gaps_s.mean() <= 0:
        return 1.0
    return float(gaps_s.std() / gaps_s.mean())
