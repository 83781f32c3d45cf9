"""A point of AlpaServe's evaluation: a fleet of six kinds of models, and the traffic that it meets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from simulator.traffic.resample import arrivals_of_counts
from simulator.traffic.workload import generate, power_law
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment, ModelSpec, Slo, Workload
from vocabulary.formats.disk import load_profile
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.profile import Profile
from vocabulary.trace import Trace

# Model set S3: as many of each of six kinds.
KINDS = ("bert-1.3b", "bert-2.6b", "bert-6.7b", "moe-1.3b", "moe-2.4b", "moe-5.3b")
DEVICES_PER_NODE = 8
MEMORY_BYTES = 13 * 2**30  # what the artifact leaves of a V100's 16 GB
# The artifact's latency terms: 0.9 % a stage, 11 ms a request.
ARTIFACT = LatencyModel(stage_scale_per_stage=0.009, fixed_overhead_s=0.011)
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """cv: of the synthetic gaps, or the factor on the Gamma's CV within a minute of the Azure trace."""

    num_devices: int
    models_of_each: int
    rate_rps: float
    cv: float
    slo_scale: float
    duration_s: float

    @property
    def num_models(self) -> int:
        return self.models_of_each * len(KINDS)


def profiles_in(folder: Path) -> Mapping[str, Profile]:
    return {kind: load_profile(folder / f"{kind}.json") for kind in KINDS}


def fleet(setting: Setting, profiles: Mapping[str, Profile]) -> Deployment:
    """Models of the six kinds in turn, so that popular and rare ones of every size are there."""
    kinds = [KINDS[index % len(KINDS)] for index in range(setting.num_models)]
    models = tuple(
        ModelSpec(
            name=f"m{index}-{kind}",
            profile=profiles[kind],
            slo=Slo(setting.slo_scale * profiles[kind].single_device_latency_s()),
        )
        for index, kind in enumerate(kinds)
    )
    num_nodes = setting.num_devices // DEVICES_PER_NODE
    node = NodeClass("v100", num_nodes, "v100-16g", DEVICES_PER_NODE, MEMORY_BYTES)
    return Deployment("alpaserve-paper", Cluster((node,)), models, latency=ARTIFACT)


def synthetic(setting: Setting, models: tuple[str, ...], *, seed: int) -> Trace:
    """A Gamma process per model, rates by a power law of exponent 0.5."""
    rates = power_law(setting.num_models, total_rps=setting.rate_rps)
    workloads = {name: Workload(rate, setting.cv) for name, rate in zip(models, rates, strict=True)}
    return generate(workloads, duration_s=setting.duration_s, seed=seed)


def azure_2019(counts: NDArray[np.int64], setting: Setting, models: tuple[str, ...], *, seed: int) -> Trace:
    """Minutes of real invocation counts: functions dealt to the models, rates scaled to the setting's total.

    Within a minute arrivals are a Gamma process, as the artifact's replay draws them.
    """
    num_minutes = int(setting.duration_s / MINUTE_S)
    by_model = np.zeros((len(models), num_minutes), dtype=np.int64)
    np.add.at(by_model, np.arange(len(counts)) % len(models), counts[:, :num_minutes])
    rate_scale = setting.rate_rps * setting.duration_s / by_model.sum()
    return arrivals_of_counts(
        by_model, models=models, window_s=MINUTE_S, rate_scale=rate_scale, cv=setting.cv, seed=seed
    )


def invocation_counts(traces: Path) -> NDArray[np.int64]:
    """[functions, minutes] of the sampled Azure Functions 2019 day; functions without a call are left out."""
    path = traces / "maf1_invitro_1000fn_day" / "invocations_per_minute_long.parquet"
    table = pyarrow.parquet.read_table(path)
    function, minute = table["func"].to_numpy(), table["minute"].to_numpy()
    counts = np.zeros((int(function.max()) + 1, int(minute.max()) + 1), dtype=np.int64)
    counts[function, minute] = table["count"].to_numpy()
    return counts[counts.any(axis=1)]
