"""What a model that generates costs on this machine's devices, as an entry of its profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulator.generation.step_times import StepTimesFit, fit_step_times
from vocabulary.deployment import ModelSpec, Workload
from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry

if TYPE_CHECKING:
    from workers.generation.model import GeneratingModel
    from workers.generation.opening import OpenGeneratingModel
    from workers.generation.step_samples import StepSample

# Sequences that share a step in an ordinary minute: what a request adds to the work is told by it, since the
# constant of a step is shared. Simulations of requests with tokens do not go by it.
_TYPICAL_COMPANY = 8
# Contexts that a model is measured with, where the deployment does not say how long they may be.
_LONGEST, _NUM_CONTEXTS = 1024, 4


@dataclass(frozen=True, slots=True)
class StepProfile:
    """An entry, and how well its step times tell steps that they were not fitted to [stages]."""

    entry: ProfileEntry
    fits: tuple[StepTimesFit, ...]


def step_profile(
    opened: OpenGeneratingModel, spec: ModelSpec, config: ParallelConfig, *, num_rounds: int
) -> StepProfile:
    """Compile, serve drawn requests, fit their steps. Blocks."""
    model = opened.model(opened.read())
    model.compile()
    stage_layers = tuple(len(plan.layers) for plan in opened.plans)
    return profile_ready(model, spec, config, stage_layers=stage_layers, num_rounds=num_rounds)


def profile_ready(
    model: GeneratingModel,
    spec: ModelSpec,
    config: ParallelConfig,
    *,
    stage_layers: tuple[int, ...],
    num_rounds: int,
) -> StepProfile:
    """Of a model that is compiled, and serves nobody meanwhile. Blocks."""
    from workers.generation.step_samples import measured_steps

    samples = measured_steps(model, spec, config, num_rounds=num_rounds)
    workload = spec.workload or Workload(0.0)
    fits = tuple(_fit(samples, stage) for stage in range(config.pipeline))
    entry = ProfileEntry(
        config,
        model.weight_bytes_per_stage,
        {1: (0,) * config.pipeline},
        {1: tuple(request_work_s(fit.times, workload) for fit in fits)},
        step_times=tuple(fit.times for fit in fits),
        kv_bytes_per_token=model.kv_bytes_per_token,
        stage_layers=stage_layers,
    )
    return StepProfile(entry, fits)


def request_work_s(times: StepTimes, workload: Workload) -> float:
    """What a mean request adds to the work of a stage that is seldom idle.

    Placements are searched with it, as one-shot models are with their latency.
    """
    inputs, outputs = workload.input_tokens, workload.output_tokens
    looked_back = outputs * (inputs + outputs / 2)
    shared_s = times.constant_s * outputs / _TYPICAL_COMPANY
    return shared_s + times.token_s * (inputs + outputs) + times.kv_token_s * looked_back


def open_to_profile(model: ModelSpec, config: ParallelConfig, source_folder: Path) -> OpenGeneratingModel:
    """With pages for some long contexts: how many there are does not tell in a step's time."""
    import jax

    from workers.generation.opening import open_generating_model

    assert model.source is not None, model
    settings = model.generation
    longest = model.max_model_len or _LONGEST
    num_pages = max(settings.num_pages or 0, _NUM_CONTEXTS * -(-longest // settings.page_tokens))
    return open_generating_model(
        model.source,
        architecture=model.architecture,
        config=config,
        devices=jax.devices()[: config.num_devices],
        limits=settings.limits(num_pages),
        base_dir=source_folder,
        max_model_len=model.max_model_len,
        attention=model.attention,
        dtype=model.number_format,
    )


def _fit(samples: tuple[StepSample, ...], stage: int) -> StepTimesFit:
    columns = np.array([(one.num_tokens, one.num_kv_tokens, one.stages_s[stage]) for one in samples])
    return fit_step_times(*columns.T)
