"""What benchmarks/simulator.py scores: a synthetic fleet of pipelines, and the published workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simulator.fast_costs import Content, Layout
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Policy, Slo
from vocabulary.formats.disk import (
    load_deployment,
    load_plan,
    load_trace,
    write_plan,
    write_profile,
    write_trace,
)
from vocabulary.formats.yaml_out import format_yaml
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.plan import Plan
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

NUM_MODELS, NUM_STAGES = 32, 4
STAGE_S, SLO_S = 0.025, 0.5
# Gaps of CV 4 at 93 % of what the stages can take: queues form, and 1 to 2 % of the requests are refused.
CV, UTILISATION = 4.0, 0.93
# The published artifact's semantics, in which its plans were made.
ARTIFACT_POLICY = Policy(router="min_stage_clock")
ARTIFACT_LATENCY = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)
W3, W5 = "w3-16gpu-24x2.6b", "w5-24gpu-42-bert"


@dataclass(frozen=True, slots=True)
class Case:
    """A trace, a fleet, and placements of one layout to score on them."""

    deployment: Deployment
    trace: Trace
    layout: Layout
    contents: Sequence[Content]

    @property
    def placement(self) -> Placement:
        """The first content, on the fleet's devices in order."""
        devices = iter(device.id for device in self.deployment.cluster.devices)
        names = self.deployment.model_names
        return Placement(
            tuple(
                Group(
                    f"g{index}",
                    tuple(next(devices) for _ in range(config.num_devices)),
                    config,
                    tuple(names[model] for model in held),
                )
                for index, (config, held) in enumerate(zip(self.layout, self.contents[0], strict=True))
            )
        )


def pipelines(
    num_requests: int, *, num_holders: int = 4, num_groups: int = 16, num_contents: int = 1, seed: int = 0
) -> Case:
    """32 models, each on `num_holders` groups of 4 stages that are drawn anew for every content."""
    rng = np.random.default_rng(seed)
    config = ParallelConfig(1, NUM_STAGES)
    models = tuple(_model(f"m{index}", config, rng) for index in range(NUM_MODELS))
    cluster = Cluster((NodeClass("n", num_groups, "any", NUM_STAGES, 2**30),))
    deployment = Deployment("pipelines", cluster, models)
    contents = [_content(rng, num_groups, num_holders) for _ in range(num_contents)]
    trace = _trace(rng, num_requests, num_groups, deployment.model_names)
    return Case(deployment, trace, (config,) * num_groups, contents)


def published(data: Path, workload: str, algorithm: str) -> Case:
    """A published plan on its test trace."""
    folder = data / "alpaserve" / workload
    read = load_deployment(folder / "deployment.yaml")
    deployment = replace(read, policy=ARTIFACT_POLICY, latency=ARTIFACT_LATENCY)
    groups = load_plan(folder / f"plan.{algorithm}.yaml", deployment=deployment).placement.groups
    content = [[deployment.model_names.index(model) for model in group.models] for group in groups]
    trace = load_trace(folder / "test.csv.gz", models=deployment.model_names)
    return Case(deployment, trace, tuple(group.config for group in groups), [content])


def repeated(trace: Trace, num_requests: int) -> Trace:
    """The trace over and over, until there are as many requests."""
    period_s = float(trace.arrival_s[-1]) + trace.duration_s / len(trace)
    turn, row = np.divmod(np.arange(num_requests), len(trace))
    return Trace(trace.arrival_s[row] + turn * period_s, trace.model_index[row], trace.models)


def write_files(folder: Path, case: Case) -> None:
    """deployment.yaml, profiles, plan.yaml, trace.parquet and trace.csv."""
    for model in case.deployment.models:
        assert model.profile is not None
        write_profile(folder / f"{model.name}.json", model.profile)
    write_plan(folder / "plan.yaml", Plan(case.placement))
    for kind in ("parquet", "csv"):
        write_trace(folder / f"trace.{kind}", case.trace)
    (folder / "deployment.yaml").write_text(format_yaml(_document(case.deployment)))


def _model(name: str, config: ParallelConfig, rng: np.random.Generator) -> ModelSpec:
    stages_s = tuple((STAGE_S * rng.uniform(0.9, 1.1, config.pipeline)).tolist())
    entry = ProfileEntry(config, (2**20,) * config.pipeline, {}, {1: stages_s})
    return ModelSpec(name, profile=profile_of(name, "any", [entry], provenance=Provenance()), slo=Slo(SLO_S))


def _content(rng: np.random.Generator, num_groups: int, num_holders: int) -> Content:
    held: list[list[int]] = [[] for _ in range(num_groups)]
    for model in range(NUM_MODELS):
        for group in rng.choice(num_groups, num_holders, replace=False):
            held[group].append(model)
    return held


def _trace(rng: np.random.Generator, num_requests: int, num_groups: int, names: tuple[str, ...]) -> Trace:
    """Written in place: a hundred million requests shall need little more than their two columns."""
    gap_s = STAGE_S / num_groups / UTILISATION
    arrival_s = rng.standard_gamma(CV**-2, num_requests)
    arrival_s *= gap_s * CV**2
    np.cumsum(arrival_s, out=arrival_s)
    return Trace(arrival_s, rng.integers(0, len(names), num_requests, dtype=np.int32), names)


def _document(deployment: Deployment) -> dict[str, object]:
    node = deployment.cluster.nodes[0]
    devices = {"type": node.device_type, "count": node.devices_per_host, "memory": node.memory_bytes}
    return {
        "api_version": "v1alpha1",
        "kind": "Deployment",
        "metadata": {"name": deployment.name},
        "cluster": {"nodes": [{"name": node.name, "count": node.count, "devices": devices}]},
        "models": [
            {"name": model.name, "profile": f"{model.name}.json", "slo": {"latency_ms": SLO_S * 1000}}
            for model in deployment.models
        ],
    }
