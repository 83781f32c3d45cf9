"""What a search is asked, and the answers to its two questions: does it fit, how good is it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.candidate import Candidate
from placement.memory import Memory
from simulator.fast import Scorer, Tally, supports
from vocabulary.deployment import Deployment, Policy
from vocabulary.trace import Trace

# AlpaServe's artifact scores goodput, less a ten-thousandth of the mean latency in seconds (requests that
# were not served count as 0 s), plus a millionth for every replica: both decide between equal goodputs only.
LATENCY_WEIGHT = 1e-4
REPLICA_WEIGHT = 1e-6


@final
class Problem:
    """Models, devices and traffic of one search. Counts its evaluations. For one thread.

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
        self.num_requests = num_requests or len(trace)
        self._is_part = num_requests is not None
        catalog = deployment.catalog()
        self.memory = Memory(deployment, catalog)
        stand_in = replace(deployment, policy=scored_policy(deployment.policy))
        self._scorer = Scorer(trace, deployment=stand_in, trim_s=trim_s)
        self._max_replicas = np.array(
            [len(trace) + 1 if m.max_replicas is None else m.max_replicas for m in deployment.models]
        )
        self._has_limits = any(model.max_replicas is not None for model in deployment.models)

    @property
    def num_models(self) -> int:
        return len(self.deployment.models)

    def tally(self, candidate: Candidate) -> Tally:
        """Simulate the training trace on a candidate."""
        self.num_evaluated += 1
        configs = tuple(mesh.config for mesh in candidate.layout)
        return self._scorer.tally(configs, candidate.content)

    def value(self, candidate: Candidate, tally: Tally) -> float:
        """What searches maximise: SLO attainment, ties by latency, then by replicas."""
        num_requests = self.num_requests if self._is_part else max(1, int(tally.num_requests.sum()))
        goodput = int(tally.num_good.sum()) / num_requests
        mean_s = tally.total_latency_s / num_requests
        return goodput - LATENCY_WEIGHT * mean_s + REPLICA_WEIGHT * candidate.num_replicas

    def addable(self, candidate: Candidate, group: int) -> NDArray[np.bool_]:
        """Which models may be added to a group [models]: there is room, and they may have another replica."""
        fits = self.memory.fitting(candidate.layout[group], candidate.content[group])
        if self._has_limits:
            held = np.zeros(self.num_models, dtype=np.int64)
            for models in candidate.content:
                held[list(models)] += 1
            fits &= held < self._max_replicas
        return fits

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

    def untrimmed(self) -> Problem:
        """The same problem with the whole trace counting."""
        return Problem(self.deployment, self.trace)

    def halves(self) -> tuple[Problem, Problem]:
        """The same problem on the first and on the second half of the requests."""
        middle = len(self.trace) // 2
        trace = self.trace
        first = Trace(trace.arrival_s[:middle], trace.model_index[:middle], trace.models)
        second = Trace(trace.arrival_s[middle:], trace.model_index[middle:], trace.models)
        return Problem(self.deployment, first), Problem(self.deployment, second)


def scored_policy(policy: Policy) -> Policy:
    """The policy that a search scores with: the deployment's own where the compiled scorer has it.

    Other queues and batching are scored as first come first served without batches, as AlpaServe does; what
    a plan predicts is simulated with the deployment's own policy.
    """
    if supports(policy):
        return policy
    return replace(policy, queue="fcfs", batching="none", slack_s=max(0.0, policy.slack_s))
