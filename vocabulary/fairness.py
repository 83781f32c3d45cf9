"""What `serving.policy.fairness` chooses: how much service counts, and whose counts how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COSTS = ("linear", "profiled", "measured")
WITHIN = ("fcfs", "longest_prefix")


@dataclass(frozen=True, slots=True)
class Fairness:
    """Field names are the keys of the file. It matters under `queue: vtc` only.

    weights: of tenants, 1 for those without; twice the weight is twice the service. cost: one of COSTS:
    linear counts input_cost for a token of a prompt and output_cost for one of an answer. cached_fraction: of
    what a token of a prompt counts, for one that the cache of prefixes had. within: the order of a tenant's
    own requests, one of WITHIN. predicts_output: answers count when they begin, as long as predicted.
    """

    weights: Mapping[str, float] = field(default_factory=dict[str, float])
    input_cost: float = 1.0
    output_cost: float = 2.0
    cost: str = "linear"
    cached_fraction: float = 0.0
    within: str = "fcfs"
    predicts_output: bool = False

    def __post_init__(self) -> None:
        assert all(weight > 0 for weight in self.weights.values()), self.weights
        assert self.cost in COSTS, self.cost
        assert self.within in WITHIN, self.within
        assert min(self.input_cost, self.output_cost, self.cached_fraction) >= 0, self
