"""Search after search, as a bisection asks for them; what holds is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, final

from placement.budget import Budget
from placement.capacity.bisection import Cheapest, Furthest
from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.points import base_point
from placement.capacity.results import Requirement
from placement.incumbent import Report
from placement.minimised import Minimised, Try
from placement.search import Found, search
from placement.smaller import Smaller, smaller_clusters
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.trace import Trace

# Of what is left of a time budget, one search gets this share: there are about as many to come.
SHARE_OF_BUDGET = 0.25
# No search is shorter: it would find nothing where there is something.
MIN_SEARCH_S = 0.2


@dataclass(slots=True)
class _Held:
    """A try that holds, with all that a plan of it needs."""

    value: float
    found: Found
    deployment: Deployment
    trace: Trace
    trim_s: float


@final
@dataclass(slots=True, kw_only=True)
class Seeker:
    """Asks a bisection what to try, tries it, and keeps what holds; for one question."""

    deployment: Deployment
    trace: Trace
    requirement: Requirement
    algorithm: str | None
    trim_s: float
    time_budget_s: float | None
    budget: Budget
    progress: Callable[[Report], None]
    tried: list[Try] = field(default_factory=list)
    held: list[_Held] = field(default_factory=list)

    def cheapest(self) -> Minimised:
        clusters = smaller_clusters(self.deployment, self.deployment.objective)
        sizes = clusters.sizes
        machine = Cheapest(sizes, start_price=sizes[-1].price)
        is_complete = self._sought(machine, lambda size: self._try(clusters.at(size), 1.0, clusters))
        return self._answer(min, is_monotone=machine.is_monotone, is_complete=is_complete)

    def fastest(self) -> Minimised:
        machine = Furthest()
        is_complete = self._sought(machine, lambda scale: self._try(self.deployment, scale, None))
        best = machine.best
        self.held = [held for held in self.held if best is None or held.value <= best]
        found = self._answer(max, is_monotone=True, is_complete=is_complete)
        return replace(found, is_at_limit=machine.is_at_least)

    def _sought(self, machine: Any, holds: Callable[[Any], bool]) -> bool:
        """Tries what the machine asks for; whether it had no more to ask. Rises when nothing held before."""
        try:
            for size in _asked(machine):
                machine.observe(size, holds=holds(size))
                if self.budget.is_over:
                    return not machine.decide()
        except KeyboardInterrupt:
            if not self.held:
                raise
            return False
        return True

    def _try(self, deployment: Deployment, scale: float, clusters: Smaller | None) -> bool:
        """Search once, and note what came out."""
        started_s = self.budget.elapsed_s
        trace = self.trace if scale == 1.0 else replace(self.trace, arrival_s=self.trace.arrival_s / scale)
        num_devices = len(deployment.cluster.free_devices)
        try:
            found = search(
                self._promising(deployment),
                trace,
                algorithm=self.algorithm,
                trim_s=self.trim_s / scale,
                progress=self.progress,
                time_budget_s=self._share_s(),
            )
        except Infeasible as error:
            seconds = self.budget.elapsed_s - started_s
            self.tried.append(Try(num_devices, scale, 0.0, False, None, seconds, str(error)))
            return False
        study = Study(deployment, trace, trace, trim_s=self.trim_s / scale)
        result = evaluate(study, Probe(base_point(deployment.cluster), placement=found.placement))
        holds = self.requirement.holds(result)
        used = scale if clusters is None else clusters.price(found.placement)
        seconds = self.budget.elapsed_s - started_s
        self.tried.append(Try(num_devices, scale, result.slo_attainment, holds, used, seconds))
        if holds:
            self.held.append(_Held(used, found, deployment, trace, self.trim_s / scale))
        if not found.is_complete:
            raise KeyboardInterrupt
        return holds

    def _promising(self, deployment: Deployment) -> Deployment:
        """With what must hold of each model as its `slo.attainment`: searches see to that first."""
        promised = self.requirement.models
        models = (
            replace(model, slo=replace(model.slo, attainment=promised.get(model.name, model.slo.attainment)))
            for model in deployment.models
        )
        return replace(deployment, models=tuple(models))

    def _share_s(self) -> float | None:
        if self.time_budget_s is None:
            return None
        return max(MIN_SEARCH_S, SHARE_OF_BUDGET * (self.time_budget_s - self.budget.spent_s))

    def _answer(self, best_of: Callable[..., Any], *, is_monotone: bool, is_complete: bool) -> Minimised:
        if not self.held:
            raise self._nothing_holds()
        best: _Held = best_of(self.held, key=_value_of)
        return Minimised(
            self.deployment.objective,
            best.value,
            self.requirement,
            best.found,
            best.deployment,
            best.trace,
            best.trim_s,
            tuple(self.tried),
            is_monotone,
            is_complete,
        )

    def _nothing_holds(self) -> Infeasible:
        nearest = max(self.tried, key=lambda one: one.slo_attainment)
        if nearest.infeasible is not None:
            return Infeasible(
                nearest.infeasible, hint="`statmux capacity --minimize` looks at larger clusters"
            )
        at = f" with traffic {nearest.rate_scale:g} times as fast" if nearest.rate_scale != 1.0 else ""
        return Infeasible(
            f"{self.deployment.objective}: all {nearest.num_devices} devices attain "
            f"{nearest.slo_attainment:.2%}{at}, and {self.requirement.sentence} is asked for",
            hint="ask for less, add devices (`statmux capacity --minimize` says how many), or loosen an SLO",
        )


def _value_of(held: _Held) -> float:
    return held.value


def _asked(machine: Cheapest | Furthest) -> Iterator[Any]:
    """What the machine asks for, until it asks for nothing."""
    while batch := machine.decide():
        yield from batch
