"""What a search is asked, and the answers to its two questions: does it fit, how good is it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Candidate
from placement.constraints import Constraints
from placement.memory import Memory
from placement.objectives import objective_of, objective_value, objective_values, unserved
from simulator.fast import Scorer, Tally, supports
from simulator.fast_costs import StageTable
from vocabulary.deployment import Deployment, Policy
from vocabulary.trace import Trace

# AlpaServe's artifact scores goodput, less a ten-thousandth of the mean latency in seconds (requests that
# were not served count as 0 s), plus a millionth for every replica: both decide between equal goodputs only.
LATENCY_WEIGHT = 1e-4
REPLICA_WEIGHT = 1e-6


@final
class Problem:
    """Models, devices and traffic of one search. Counts what it simulates. For one thread.

    `num_requests` is what values are relative to: that of the whole trace when this is about a part of it.
    """

    def __init__(
        self,
        deployment: Deployment,
        trace: Trace,
        *,
        trim_s: float = 0.0,
        num_requests: int | None = None,
    ) -> None:
        self.deployment = deployment
        self.trace = trace
        self.trim_s = trim_s
        self.num_evaluated = 0
        self.num_simulated = 0
        self.num_requests = num_requests or len(trace)
        self._is_part = num_requests is not None
        self.objective = objective_of(deployment)
        self.memory = Memory(deployment, deployment.catalog())
        self.constraints = Constraints(deployment)
        self.scored = replace(deployment, policy=scored_policy(deployment.policy))
        self._scorer = Scorer(trace, deployment=self.scored, trim_s=trim_s)

    @property
    def num_models(self) -> int:
        return len(self.deployment.models)

    @property
    def table(self) -> StageTable:
        """Stage latencies, shared by all that score this problem's models."""
        return self._scorer.table

    def tally(self, candidate: Candidate) -> Tally:
        """Simulate the training trace on a candidate."""
        self.count(1, len(self.trace))
        configs = tuple(mesh.config for mesh in candidate.layout)
        return self._scorer.tally(configs, candidate.content)

    def count(self, num_evaluated: int, num_requests: int) -> None:
        """Note placements simulated, on so many requests each."""
        self.num_evaluated += num_evaluated
        self.num_simulated += num_evaluated * num_requests

    def value(self, candidate: Candidate, tally: Tally) -> float:
        """What searches maximise: the objective, ties by latency, then by replicas."""
        num_requests = self.num_requests if self._is_part else max(1, int(tally.num_requests.sum()))
        part = self.num_requests if self._is_part else None
        good = objective_value(self.objective, tally, num_requests=part)
        mean_s = tally.total_latency_s / num_requests
        return good - LATENCY_WEIGHT * mean_s + REPLICA_WEIGHT * candidate.num_replicas

    def values(
        self,
        num_good: NDArray[np.int64],
        num_requests: NDArray[np.int64],
        total_latency_s: NDArray[np.float64],
        num_replicas: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """`value` of many candidates [n]; num_good: [n, models], num_requests: [models], the others [n]."""
        good = objective_values(self.objective, num_good, num_requests)
        mean_s = total_latency_s / max(1, int(num_requests.sum()))
        return good - LATENCY_WEIGHT * mean_s + REPLICA_WEIGHT * num_replicas

    def unserved(self, tally: Tally) -> NDArray[np.float64]:
        """How much each model stands to gain from a replica [models]."""
        return unserved(self.objective, tally)

    def addable(self, candidate: Candidate, group: int) -> NDArray[np.bool_]:
        """Which models may be added to a group, with those that they are colocated with [models]."""
        fits = self.memory.fitting(candidate.layout[group], candidate.content[group])
        if not self.constraints.is_empty:
            fits &= self.constraints.addable(candidate.layout, candidate.content, group)
        return fits

    def plus(self, candidate: Candidate, group: int, model: int) -> Candidate:
        """With one more replica of an addable model, and of those that it is colocated with."""
        for companion in self.constraints.companions(model):
            candidate = candidate.plus(group, companion)
        return candidate

    def part(self, models: Sequence[int]) -> Problem:
        """The problem of serving only these models (ascending), with values relative to the whole trace."""
        kept = tuple(self.deployment.models[index] for index in models)
        lookup = np.full(self.num_models, -1, dtype=np.int32)
        lookup[list(models)] = np.arange(len(models), dtype=np.int32)
        index = lookup[self.trace.model_index]
        rows = index >= 0
        trace = Trace(self.trace.arrival_s[rows], index[rows], tuple(model.name for model in kept))
        deployment = replace(self.deployment, models=kept)
        return Problem(deployment, trace, num_requests=self.num_requests)


def scored_policy(policy: Policy) -> Policy:
    """The policy that a search scores with: the deployment's own where the compiled scorer has it.

    Other queues and batching are scored as first come first served without batches, as AlpaServe does; what
    is best so is then chosen among by the deployment's own policy (`placement.confirm`).
    """
    if supports(policy):
        return policy
    return replace(policy, queue="fcfs", batching="none", slack_s=max(0.0, policy.slack_s))
