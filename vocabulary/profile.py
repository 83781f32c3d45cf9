"""What a model costs on a device type: latency of each stage by batch size, weights, activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vocabulary.generation import StepTimes
from vocabulary.parallel import ParallelConfig

PROVENANCES = ("measured", "imported", "estimated")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from; an estimated number is shown with a `~`."""

    kind: str = "imported"
    note: str = ""

    def __post_init__(self) -> None:
        assert self.kind in PROVENANCES, self.kind


@dataclass(frozen=True, slots=True)
class ProfileEntry:
    """One (tensor, pipeline): bytes per device of each stage, and seconds of each stage by batch size.

    Of a model that generates also step_times, what a step costs on each stage, and kv_bytes_per_token, what a
    token's keys and values take on each device of a stage; empty otherwise.
    """

    config: ParallelConfig
    weight_bytes: tuple[int, ...]
    activation_bytes: Mapping[int, tuple[int, ...]]
    stage_latency_s: Mapping[int, tuple[float, ...]]
    step_times: tuple[StepTimes, ...] = ()
    kv_bytes_per_token: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert len(self.weight_bytes) == self.config.pipeline, self
        assert all(len(stages) == self.config.pipeline for stages in self.stage_latency_s.values()), self
        assert 1 in self.stage_latency_s, self
        assert len(self.step_times) in (0, self.config.pipeline), self
        assert len(self.kv_bytes_per_token) in (0, self.config.pipeline), self

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.stage_latency_s))


@dataclass(frozen=True, slots=True)
class Profile:
    """All entries of one model on one device type."""

    model: str
    device_type: str
    entries: Mapping[ParallelConfig, ProfileEntry]
    provenance: Provenance = Provenance()
    sequence_length: int | None = None

    def supports(self, config: ParallelConfig) -> bool:
        return config in self.entries

    def single_device_latency_s(self) -> float:
        """Latency of one request on the fewest devices that the profile has."""
        config = min(self.entries, key=lambda c: (c.num_devices, c.tensor))
        return sum(self.entries[config].stage_latency_s[1])


def profile_of(
    model: str,
    device_type: str,
    entries: Iterable[ProfileEntry],
    *,
    provenance: Provenance,
    sequence_length: int | None = None,
) -> Profile:
    by_config = {entry.config: entry for entry in entries}
    return Profile(model, device_type, by_config, provenance, sequence_length)
