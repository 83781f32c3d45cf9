"""What live observation says of a profile: by how much the stages really differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median

from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry


@dataclass(frozen=True, slots=True)
class Correction:
    """factor: observed over profiled time through all stages, the median of `num_samples` lone batches."""

    factor: float
    num_samples: int


def corrected(profile: Profile, corrections: Mapping[ParallelConfig, Correction], *, source: str) -> Profile:
    """The profile with its stage latencies as observed; `source` says where, for its provenance.

    A configuration that nobody observed gets the median factor of those observed: left alone, it would look
    better (or worse) to a search by just that factor.
    """
    assert corrections, profile.model
    default = median(correction.factor for correction in corrections.values())
    entries = {
        config: _scaled(entry, corrections[config].factor if config in corrections else default)
        for config, entry in profile.entries.items()
    }
    num_samples = sum(correction.num_samples for correction in corrections.values())
    note = f"stages corrected by {default:.4f} from {num_samples} batches of {source}"
    old = profile.provenance
    provenance = replace(old, note=f"{old.note}; {note}" if old.note else note)
    return replace(profile, entries=entries, provenance=provenance)


def _scaled(entry: ProfileEntry, factor: float) -> ProfileEntry:
    stages = {
        size: tuple(seconds * factor for seconds in each) for size, each in entry.stage_latency_s.items()
    }
    return replace(
        entry, stage_latency_s=stages, step_times=tuple(times.scaled(factor) for times in entry.step_times)
    )
