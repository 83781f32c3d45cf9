"""What a model costs on a device type: latency of each stage by batch size, weights, activations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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

    output_bytes: by batch size, what each stage gives to the next (of the last, what leaves); empty where
    nobody said. Of a model that generates also step_times, what a step costs on each stage, and
    kv_bytes_per_token, what a token's keys and values take on each device of a stage; empty otherwise.
    part_s: seconds of the embedding, every layer and the head for one request, on this `tensor`.
    stage_layers: how many layers each stage has where this was profiled, so that workers cut alike; when
    empty, as equal as can be. is_estimated: this entry is no measurement, whatever the profile's others are.
    """

    config: ParallelConfig
    weight_bytes: tuple[int, ...]
    activation_bytes: Mapping[int, tuple[int, ...]]
    stage_latency_s: Mapping[int, tuple[float, ...]]
    step_times: tuple[StepTimes, ...] = ()
    kv_bytes_per_token: tuple[int, ...] = ()
    output_bytes: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    part_s: tuple[float, ...] = ()
    stage_layers: tuple[int, ...] = ()
    is_estimated: bool = False

    def __post_init__(self) -> None:
        assert len(self.weight_bytes) == self.config.pipeline, self
        assert all(len(stages) == self.config.pipeline for stages in self.stage_latency_s.values()), self
        assert 1 in self.stage_latency_s, self
        assert len(self.step_times) in (0, self.config.pipeline), self
        assert len(self.kv_bytes_per_token) in (0, self.config.pipeline), self
        assert all(len(stages) == self.config.pipeline for stages in self.output_bytes.values()), self
        assert len(self.stage_layers) in (0, self.config.pipeline), self

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return tuple(sorted(self.stage_latency_s))

    def stage_output_bytes(self, batch_size: int) -> tuple[int, ...]:
        """What each stage gives to the next [pipeline]; a batch between two sizes is padded, 0 if unknown."""
        sizes = [size for size in sorted(self.output_bytes) if size >= batch_size]
        if sizes:
            return self.output_bytes[sizes[0]]
        largest = max(self.output_bytes, default=0)
        if not largest:
            return (0,) * self.config.pipeline
        return tuple(-(-size * batch_size // largest) for size in self.output_bytes[largest])


@dataclass(frozen=True, slots=True)
class Profile:
    """All entries of one model, on one device type or, in a cluster of several, on all of them.

    Of several, each entry's configuration has its type (`ParallelConfig.device_type`), and `device_type` is
    their names with commas.
    """

    model: str
    device_type: str
    entries: Mapping[ParallelConfig, ProfileEntry]
    provenance: Provenance = Provenance()
    sequence_length: int | None = None

    def supports(self, config: ParallelConfig) -> bool:
        return config.inside in self.entries

    def entry(self, config: ParallelConfig) -> ProfileEntry:
        """Costs on one host of that configuration; KeyError without them."""
        return self.entries[config.inside]

    def is_estimated(self, config: ParallelConfig) -> bool:
        """Whether that entry, or all of them, are estimates."""
        return self.provenance.kind == "estimated" or self.entry(config).is_estimated

    @property
    def has_estimates(self) -> bool:
        """Whether any entry is an estimate."""
        return any(map(self.is_estimated, self.entries))

    def single_device_latency_s(self) -> float:
        """Latency of one request on the fewest devices that the profile has, of the quickest type."""
        config = min(self.entries, key=lambda c: (c.num_devices, c.tensor, self._latency_s(c)))
        return self._latency_s(config)

    def _latency_s(self, config: ParallelConfig) -> float:
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


def profile_on_types(profiles: Mapping[str, Profile]) -> Profile:
    """The profiles of one model by device type, as one for a cluster of several types.

    Estimated if any of them is: a plan may rest on it.
    """
    assert profiles
    parts = dict(sorted(profiles.items()))
    entries: dict[ParallelConfig, ProfileEntry] = {}
    for device_type, profile in parts.items():
        for config, entry in profile.entries.items():
            typed = replace(config, device_type=device_type)
            entries[typed] = replace(entry, config=typed)
    first = next(iter(parts.values()))
    kinds = {profile.provenance.kind for profile in parts.values()}
    kind = next(kind for kind in ("estimated", "imported", "measured") if kind in kinds)
    notes = dict.fromkeys(p.provenance.note for p in parts.values() if p.provenance.note)
    return Profile(
        first.model, ", ".join(parts), entries, Provenance(kind, "; ".join(notes)), first.sequence_length
    )


def profiles_by_type(profile: Profile) -> dict[str, Profile]:
    """What `profile_on_types` joined, each as on a cluster of its own; of one type, the profile itself."""
    types = sorted({config.device_type for config in profile.entries})
    if types == [""]:
        return {profile.device_type: profile}
    parts: dict[str, Profile] = {}
    for device_type in types:
        mine = [entry for config, entry in profile.entries.items() if config.device_type == device_type]
        plain = [replace(entry, config=replace(entry.config, device_type="")) for entry in mine]
        by_config = {entry.config: entry for entry in plain}
        parts[device_type] = replace(profile, device_type=device_type, entries=by_config)
    return parts
