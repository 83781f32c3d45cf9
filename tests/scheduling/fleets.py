"""Small fleets in a few words: models by their stage latencies, placements by their stages and models."""

from __future__ import annotations

from collections.abc import Mapping

from vocabulary.catalog import Catalog, LatencyModel
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of

# Stage latencies in seconds by batch size; as many stages as the configuration has.
BySize = Mapping[int, tuple[float, ...]]


def catalog_of(models: Mapping[str, tuple[BySize, ...]], *, overhead_s: float = 0.0) -> Catalog:
    """A catalog in which every model has the given configurations, each known by its number of stages."""
    profiles = {
        model: profile_of(model, "cpu", [_entry(by_size) for by_size in configs], provenance=Provenance())
        for model, configs in models.items()
    }
    return Catalog(profiles, LatencyModel(fixed_overhead_s=overhead_s))


def placement_of(*groups: tuple[int, str]) -> Placement:
    """Groups g0, g1, ... of (number of stages, models separated by spaces)."""
    return Placement(tuple(group_of(index, *group) for index, group in enumerate(groups)))


def _entry(by_size: BySize) -> ProfileEntry:
    num_stages = len(by_size[1])
    return ProfileEntry(ParallelConfig(1, num_stages), (1,) * num_stages, {}, dict(by_size))


def group_of(index: int, num_stages: int, models: str) -> Group:
    """Group g<index> on devices of its own."""
    devices = tuple(f"n-{index}:{stage}" for stage in range(num_stages))
    return Group(f"g{index}", devices, ParallelConfig(1, num_stages), tuple(models.split()))
