"""Specs of an emulated group on two stages, with as many models as a test wants."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.profile import Profile, ProfileEntry, Provenance, profile_of
from workers.spec import WorkerSpec

KEY = "a secret"
_CONFIG = ParallelConfig(1, 2)


def spec_of(
    folder: Path, stages_s: dict[str, tuple[float, float]], *, generating: tuple[str, ...] = ()
) -> WorkerSpec:
    """stages_s: of each model, how long a request, or a step, takes on each stage."""
    profiles = {name: _profile(name, one) for name, one in stages_s.items()}
    return WorkerSpec(
        group=Group("g0", ("n-0:0", "n-0:1"), _CONFIG, tuple(stages_s)),
        models=tuple(
            ModelSpec(name, profile=profile, engine="emulated") for name, profile in profiles.items()
        ),
        catalog=Catalog(profiles),
        policy=Policy(admission="none"),
        engine="emulated",
        platform="cpu",
        source_folder=str(folder),
        key=KEY,
        socket_path=str(folder / "g0.sock"),
        beat_interval_s=0.05,
        limits={name: GenerationLimits(num_pages=64, page_tokens=16) for name in generating},
    )


def without(spec: WorkerSpec, *models: str) -> WorkerSpec:
    left = tuple(one for one in spec.models if one.name not in models)
    return dataclasses.replace(
        spec,
        models=left,
        group=dataclasses.replace(spec.group, models=tuple(one.name for one in left)),
        limits={name: one for name, one in spec.limits.items() if name not in models},
    )


def _profile(name: str, stages_s: tuple[float, float]) -> Profile:
    times = tuple(StepTimes(stage_s, 0.0) for stage_s in stages_s)
    entry = ProfileEntry(_CONFIG, (1, 1), {}, {1: stages_s}, step_times=times)
    return profile_of(name, "cpu", [entry], provenance=Provenance("imported"))
