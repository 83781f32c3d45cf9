"""Profiles as a run showed them: what `statmux profile --correct-from RUN` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from scheduling.learned import LearnedCorrections
from statmux.calibrate import Calibration, observed_overhead
from statmux.recording import Recorded, Timings
from vocabulary.correction import Correction, corrected
from vocabulary.errors import InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile

# Fewer lone batches say more of chance than of the model.
MIN_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Learned:
    """corrections: by model and configuration, from enough batches; overhead: what is not a stage."""

    corrections: Mapping[str, Mapping[ParallelConfig, Correction]]
    overhead: Calibration


def learned(recorded: Recorded, timings: Timings) -> Learned:
    """What the lone batches of a run say of the profiles and the fixed overhead of `recorded.deployment`.

    Raises InvalidInput where the run has too few of them.
    """
    outcomes = recorded.measured
    machine = LearnedCorrections(
        dict(enumerate(recorded.served.groups)), catalog=recorded.deployment.catalog()
    )
    start_s = outcomes.trace.arrival_s + timings.queue_s
    names = outcomes.trace.models
    rows = np.flatnonzero(outcomes.served & (outcomes.group_index >= 0) & ~np.isnan(timings.execute_s))
    for row in rows[np.argsort(start_s[rows], kind="stable")].tolist():
        execute_s = float(timings.execute_s[row])
        machine.observe(
            names[outcomes.trace.model_index[row]],
            int(outcomes.group_index[row]),
            start_s=float(start_s[row]),
            finish_s=float(start_s[row]) + execute_s,
        )
    found = _by_config(machine.found(), recorded)
    overhead = observed_overhead(outcomes, timings)
    if not found or overhead is None:
        raise InvalidInput(
            f"no model has {MIN_SAMPLES} batches that had their group for themselves: nothing to learn from",
            where=str(recorded.record.folder),
            hint="record a longer run, or one with less traffic",
        )
    return Learned(found, overhead)


def corrected_profiles(recorded: Recorded, found: Learned) -> Mapping[str, Profile]:
    """Of the models that were observed often enough."""
    profiles = {model.name: model.profile for model in recorded.deployment.models}
    source = f"{recorded.record.run['fleet']} ({recorded.record.folder.name})"
    return {
        name: corrected(profile, corrections, source=source)
        for name, corrections in found.corrections.items()
        if (profile := profiles[name]) is not None
    }


def _by_config(
    found: Mapping[tuple[str, int], Correction], recorded: Recorded
) -> dict[str, dict[ParallelConfig, Correction]]:
    """Groups of one configuration together, each with the weight of its samples."""
    gathered: dict[tuple[str, ParallelConfig], list[Correction]] = {}
    for (model, group_index), correction in found.items():
        config = recorded.served.groups[group_index].config.inside
        gathered.setdefault((model, config), []).append(correction)
    by_model: dict[str, dict[ParallelConfig, Correction]] = {}
    for (model, config), corrections in gathered.items():
        num_samples = sum(one.num_samples for one in corrections)
        if num_samples >= MIN_SAMPLES:
            factor = sum(one.factor * one.num_samples for one in corrections) / num_samples
            by_model.setdefault(model, {})[config] = Correction(factor, num_samples)
    return by_model
