"""What a search for a smaller cluster or faster traffic found, and all that it tried."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from placement.capacity.results import Requirement
from placement.search import Found, planned
from vocabulary.deployment import Deployment
from vocabulary.plan import Plan
from vocabulary.trace import Trace


@dataclass(frozen=True, slots=True)
class Try:
    """One size or scale that was searched for a plan; `infeasible` says why there was none.

    num_devices: that the search could use. used: what the plan takes of what is sought, devices or cost per
    hour, or the scale.
    """

    num_devices: int
    rate_scale: float
    slo_attainment: float
    holds: bool
    used: float | None
    seconds: float
    infeasible: str | None = None


@dataclass(frozen=True, slots=True)
class Minimised:
    """The answer and its evidence.

    value: devices used, cost per hour of the hosts used, or the rate scale. deployment: with the devices
    reserved that its search did without; trace: the traffic it was found for, faster by the scale.
    is_monotone: no size failed that contains one that held. is_complete: neither interrupted nor out of time.
    is_at_limit: the rate scale is the largest that is tried, and may be larger still.
    """

    objective: str
    value: float
    requirement: Requirement
    found: Found
    deployment: Deployment
    trace: Trace
    trim_s: float
    tried: tuple[Try, ...]
    is_monotone: bool
    is_complete: bool
    is_at_limit: bool = False

    def plan(self) -> Plan:
        """The plan with its predictions, what it was asked, and what was tried on the way."""
        made = planned(self.found, self.deployment, self.trace, trim_s=self.trim_s)
        key = {"min_devices": "num_devices", "min_cost": "cost_per_hour", "max_rate_scale": "rate_scale"}
        sought = {
            "objective": self.objective,
            key[self.objective]: self.value,
            "required": self.requirement.sentence,
            "tried": [asdict(one) for one in self.tried],
        }
        search = {**made.search, "is_complete": self.is_complete, **sought}
        return replace(made, search=search)
