"""What a study found at one point, and what is required of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vocabulary.deployment import Deployment
from vocabulary.placement import Placement
from vocabulary.token_outcomes import TokenStatistics

# Nobody asked for anything: what the tables and the verdict are about then.
ASSUMED_ATTAINMENT = 0.99


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model at one point. Quantiles over served requests, None when there is none.

    tokens: how soon they came, of a model that generates; in the first draw.
    """

    slo_attainment: float
    num_requests: int
    p50_s: float | None
    p99_s: float | None
    tokens: TokenStatistics | None = None


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """The busiest group, the model that misses most, and one sentence on what would help it."""

    group: str
    utilisation: float
    model: str
    num_missed: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Result:
    """Means over the draws of traffic; reasons, groups, tokens, bottleneck are those of the first draw.

    low, high: a 95 % confidence interval. draws: SLO attainment of each. placement None: there is no plan,
    and `infeasible` says why; then nothing is attained. seconds: search and simulation.
    """

    slo_attainment: float
    low: float | None
    high: float | None
    draws: tuple[float, ...]
    num_requests: int
    rate_rps: float
    goodput_rps: float
    p50_s: float | None
    p99_s: float | None
    seconds: float
    missed: Mapping[str, int] = field(default_factory=dict[str, int])
    models: Mapping[str, ModelResult] = field(default_factory=dict[str, ModelResult])
    utilisations: Mapping[str, float] = field(default_factory=dict[str, float])
    bottleneck: Bottleneck | None = None
    placement: Placement | None = None
    infeasible: str | None = None
    num_evaluated: int = 0
    tokens: TokenStatistics | None = None


@dataclass(frozen=True, slots=True)
class Requirement:
    """A share of all requests, or shares of single models; is_assumed: nobody asked for it."""

    attainment: float | None
    models: Mapping[str, float] = field(default_factory=dict[str, float])
    is_assumed: bool = False

    def holds(self, result: Result) -> bool:
        """Whether a point meets it; a point without a plan never does."""
        if result.placement is None:
            return False
        if self.attainment is not None and result.slo_attainment < self.attainment:
            return False
        return all(result.models[name].slo_attainment >= share for name, share in self.models.items())

    @property
    def sentence(self) -> str:
        """`99.00% of all requests within their SLO`."""
        if self.attainment is not None:
            assumed = " (assumed: say --require-attainment)" if self.is_assumed else ""
            return f"{self.attainment:.2%} of all requests within their SLO{assumed}"
        shares = sorted(set(self.models.values()))
        asked = f"{shares[0]:.2%}" if len(shares) == 1 else f"{shares[0]:.2%} to {shares[-1]:.2%}"
        who = f"{len(self.models)} models" if len(self.models) > 1 else next(iter(self.models))
        return f"{asked} of the requests of {who} within their SLO (slo.attainment)"


def requirement_of(deployment: Deployment, asked: float | None) -> Requirement:
    """What was asked for; else `slo.attainment` of the models that have it; else 99 % of all requests."""
    if asked is not None:
        return Requirement(asked)
    models = {m.name: m.slo.attainment for m in deployment.models if m.slo.attainment is not None}
    return Requirement(None, models) if models else Requirement(ASSUMED_ATTAINMENT, is_assumed=True)
