"""What benchmarks/placement.py plans for: fleets of AlpaServe's kinds, with traffic to plan on and to try on.

Gamma arrivals as the published artifact draws them: shape 1 / CV^2, rates by a power law of exponent 1/2,
every model with a seed of its own, 2 requests a second and device at CV 4, SLO five times the latency on the
fewest devices (its `general_model_exp`, `equal_model_case`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from simulator.traffic.workload import merge, power_law
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Slo, Workload
from vocabulary.formats.disk import load_deployment, load_profile, load_trace
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.profile import Profile
from vocabulary.trace import Trace

# One V100 with 3 GiB for everything else, eight to a host.
USABLE_BYTES = 13 * 2**30
DEVICES_PER_HOST = 8
RATE_PER_DEVICE_RPS, CV, SLO_SCALE = 2.0, 4.0, 5.0
# The training trace is as long as the artifact's.
MIN_DURATION_S, NUM_REQUESTS = 100.0, 30_000
MIXED = ("bert-1.3b", "bert-2.6b", "bert-6.7b", "moe-1.3b", "moe-2.4b", "moe-5.3b")
# The test trace's models have other seeds.
TEST_SEED = 100_000
ARTIFACT_LATENCY = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet, the traffic that a plan is made for, and the traffic that it is tried on."""

    name: str
    deployment: Deployment
    train: Trace
    test: Trace


def generated(
    profiles: Path,
    num_devices: int,
    num_models: int,
    *,
    kinds: Sequence[str] = MIXED,
    seed: int = 0,
    total_rps: float | None = None,
    cv: float = CV,
    slo_scale: float = SLO_SCALE,
    has_power_law: bool = True,
) -> Case:
    """Models of each kind in turn. `profiles`: folder of the kinds' profiles."""
    rate_rps = RATE_PER_DEVICE_RPS * num_devices if total_rps is None else total_rps
    rates = power_law(num_models, total_rps=rate_rps, exponent=0.5 if has_power_law else 0.0)
    models = []
    for index, rate in enumerate(rates):
        profile = _profile(profiles / f"{kinds[index % len(kinds)]}.json")
        slo = Slo(slo_scale * profile.single_device_latency_s())
        models.append(ModelSpec(f"m{index}", profile=profile, slo=slo, workload=Workload(rate, cv)))
    hosts = NodeClass("v100", num_devices // DEVICES_PER_HOST, "v100-16g", DEVICES_PER_HOST, USABLE_BYTES)
    name = f"{num_devices} x {num_models} {'mixed' if len(kinds) > 1 else kinds[0]}, seed {seed}"
    deployment = Deployment(name, Cluster((hosts,), 0.0), tuple(models), latency=ARTIFACT_LATENCY)
    duration_s = max(MIN_DURATION_S, NUM_REQUESTS / rate_rps)
    train = drawn(deployment, duration_s=duration_s, seed=seed)
    return Case(name, deployment, train, drawn(deployment, duration_s=duration_s, seed=seed + TEST_SEED))


def given(folder: Path) -> Case:
    """A published workload's files, with the artifact's latency model."""
    deployment = replace(load_deployment(folder / "deployment.yaml"), latency=ARTIFACT_LATENCY)
    train, test = (
        load_trace(folder / f"{part}.csv.gz", models=deployment.model_names).aligned_to(
            deployment.model_names
        )
        for part in ("train", "test")
    )
    return Case(folder.name, deployment, train, test)


def drawn(deployment: Deployment, *, duration_s: float, seed: int) -> Trace:
    """Gamma arrivals of every model, as many gaps as the artifact draws: 1.2 times what is expected."""
    arrivals = {}
    for index, model in enumerate(deployment.models):
        assert model.workload is not None, model.name
        rate, cv = model.workload.rate_rps, model.workload.cv
        random = np.random.RandomState(seed + index)
        gaps_s = random.gamma(1 / cv**2, cv**2 / rate, max(1, int(1.2 * rate * duration_s)))
        arrival_s = np.cumsum(gaps_s)
        arrivals[model.name] = arrival_s[arrival_s < duration_s]
    return merge(arrivals)


@cache
def _profile(path: Path) -> Profile:
    return load_profile(path)
