"""A measured profile with the configurations that nobody measured: estimated, and scaled to the measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vocabulary.parallel import ParallelConfig
from vocabulary.profile import Profile, ProfileEntry


@dataclass(frozen=True, slots=True)
class _Ratios:
    """Measured by estimated, at one measured point."""

    config: ParallelConfig
    latency: Mapping[int, float]
    weights: float
    activations: float
    steps: float


_NOTE = "configurations estimated, scaled to the others"


def measured_part(profile: Profile) -> Profile:
    """Without entries that are estimates, as before it was completed; perhaps without any."""
    kept = {config: one for config, one in profile.entries.items() if not profile.is_estimated(config)}
    words = [part for part in profile.provenance.note.split("; ") if not part.endswith(_NOTE)]
    return replace(profile, entries=kept, provenance=replace(profile.provenance, note="; ".join(words)))


def completed(measured: Profile, estimates: Profile) -> Profile:
    """`measured` with the entries of `estimates` that it lacks, each marked `is_estimated`.

    A measured entry stays as it is. An estimated one is multiplied, by batch size, with what measured entries
    took for each second estimated: their geometric mean, weighted by 1 / distance^2, where a distance counts
    doublings of tensor and of pipeline. At a measured point the estimate would thus agree with it. Entries of
    a configuration that only one of both has batch sizes for are scaled by the nearest size. Steps of
    generation are scaled as requests are; a measured profile without steps gets none.
    Without a measured entry that was also estimated nothing can be compared, which is a bug of the caller.
    """
    both = [
        _ratios(entry, estimates.entries[config])
        for config, entry in measured.entries.items()
        if config in estimates.entries
    ]
    assert both, (list(measured.entries), list(estimates.entries))
    generates = any(entry.step_times for entry in measured.entries.values())
    missing = [entry for config, entry in estimates.entries.items() if config not in measured.entries]
    filled = [_scaled(entry, both, generates=generates) for entry in missing]
    entries = {**measured.entries, **{entry.config: entry for entry in filled}}
    note = f"{len(filled)} of {len(entries)} {_NOTE}"
    provenance = replace(measured.provenance, note="; ".join(filter(None, (measured.provenance.note, note))))
    return replace(measured, entries=dict(sorted(entries.items())), provenance=provenance)


def latency_ratio(measured: ProfileEntry, estimated: ProfileEntry, batch_size: int) -> float:
    """Measured by estimated seconds of a batch through all stages."""
    return sum(measured.stage_latency_s[batch_size]) / sum(estimated.stage_latency_s[batch_size])


def _ratios(measured: ProfileEntry, estimated: ProfileEntry) -> _Ratios:
    sizes = sorted(set(measured.stage_latency_s) & set(estimated.stage_latency_s))
    latency = {size: latency_ratio(measured, estimated, size) for size in sizes}
    rooms = sorted(set(measured.activation_bytes) & set(estimated.activation_bytes))
    activations = [
        max(measured.activation_bytes[size]) / max(estimated.activation_bytes[size])
        for size in rooms
        if max(measured.activation_bytes[size])
    ]
    steps = latency[1]
    if measured.step_times and estimated.step_times:
        steps = sum(one.of(1, 0) for one in measured.step_times) / sum(
            one.of(1, 0) for one in estimated.step_times
        )
    return _Ratios(
        measured.config,
        latency,
        sum(measured.weight_bytes) / sum(estimated.weight_bytes),
        math.prod(activations) ** (1 / len(activations)) if activations else 1.0,
        steps,
    )


def _scaled(entry: ProfileEntry, both: Sequence[_Ratios], *, generates: bool) -> ProfileEntry:
    alone = _mean(entry.config, both, lambda one: one.latency[1])
    weights = _mean(entry.config, both, lambda one: one.weights)
    rooms = _mean(entry.config, both, lambda one: one.activations)
    steps = _mean(entry.config, both, lambda one: one.steps)
    return replace(
        entry,
        is_estimated=True,
        weight_bytes=tuple(round(weights * size) for size in entry.weight_bytes),
        activation_bytes={
            size: tuple(round(rooms * stage) for stage in stages)
            for size, stages in entry.activation_bytes.items()
        },
        stage_latency_s={
            size: _times(_mean(entry.config, both, lambda one, size=size: _at(one.latency, size)), stages)
            for size, stages in entry.stage_latency_s.items()
        },
        part_s=_times(alone, entry.part_s),
        step_times=tuple(one.scaled(steps) for one in entry.step_times) if generates else (),
        kv_bytes_per_token=entry.kv_bytes_per_token if generates else (),
    )


def _mean(config: ParallelConfig, both: Sequence[_Ratios], value: Callable[[_Ratios], float]) -> float:
    """Geometric, weighted by nearness."""
    weights = [1 / max(_distance(config, one.config), 1e-6) ** 2 for one in both]
    logs = [math.log(value(one)) for one in both]
    return math.exp(sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights))


def _distance(one: ParallelConfig, other: ParallelConfig) -> float:
    """Doublings of tensor and pipeline between two configurations."""
    return math.hypot(math.log2(one.tensor / other.tensor), math.log2(one.pipeline / other.pipeline))


def _at(by_size: Mapping[int, float], size: int) -> float:
    return by_size[min(by_size, key=lambda known: (abs(math.log2(known / size)), known))]


def _times(factor: float, seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(factor * one for one in seconds)
