"""Fleets with models that generate, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Tokens, Trace

# Powers of two add up without rounding, so equal times are equal however they were added.
TIMES = StepTimes(0.5, 0.25, 0.0625)
NO_SLO = Slo()
CLUSTER = Cluster((NodeClass("n", 1, "cpu", 64, 2**30),))


def generating(
    name: str = "chat",
    *,
    times: StepTimes = TIMES,
    slo: Slo = NO_SLO,
    stages: Sequence[int] = (1, 2),
    **settings,
) -> ModelSpec:
    """A model with 100 pages of 4 tokens unless told otherwise, whose stages all cost `times`."""
    entries = [
        ProfileEntry(
            ParallelConfig(1, count), (1,) * count, {}, {1: (1.0,) * count}, (times,) * count, (1,) * count
        )
        for count in stages
    ]
    found = {"num_pages": 100, "page_tokens": 4, "max_batched_tokens": 16, "max_sequences": 4, **settings}
    profile = profile_of(name, "cpu", entries, provenance=Provenance("estimated"))
    return ModelSpec(name, profile=profile, slo=slo, generation=GenerationSettings(**found))


def one_shot(name: str = "embed", *, latency_s: float = 1.0, slo: Slo = NO_SLO) -> ModelSpec:
    entries = [ProfileEntry(ParallelConfig(), (1,), {}, {1: (latency_s,)})]
    return ModelSpec(name, profile=profile_of(name, "cpu", entries, provenance=Provenance()), slo=slo)


def fleet(*models: ModelSpec, overhead_s: float = 0.0, **policy) -> Deployment:
    chosen = Policy(**{"admission": "none", **policy})
    return Deployment("fleet", CLUSTER, models, chosen, LatencyModel(fixed_overhead_s=overhead_s))


def groups(*held: str, num_stages: int = 1) -> Placement:
    """A group for each argument: the models on it, separated by spaces."""
    config = ParallelConfig(1, num_stages)
    return Placement(
        tuple(
            Group(
                f"g{index}",
                tuple(f"n-0:{index * num_stages + stage}" for stage in range(num_stages)),
                config,
                tuple(models.split()),
            )
            for index, models in enumerate(held)
        )
    )


def trace_of(deployment: Deployment, *rows: tuple[str, float, int, int], **prefix) -> Trace:
    """Rows of (model, arrival, input tokens, output tokens)."""
    index = [deployment.model_names.index(model) for model, *_ in rows]
    tokens = Tokens(
        np.array([row[2] for row in rows], dtype=np.int32),
        np.array([row[3] for row in rows], dtype=np.int32),
        **prefix,
    )
    arrivals = np.array([row[1] for row in rows], dtype=float)
    return Trace(arrivals, np.array(index, dtype=np.int32), deployment.model_names, tokens)
