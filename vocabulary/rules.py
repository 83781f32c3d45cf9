"""What a deployment rules out: models that stay together or apart, models bound to devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# What `separate` keeps apart: groups, which share no devices, or hosts.
APART_BY = ("group", "host")


@dataclass(frozen=True, slots=True)
class Apart:
    """Models that never share a group or, with `by` host, a host. One model alone: its replicas."""

    models: tuple[str, ...]
    by: str = "group"

    def __post_init__(self) -> None:
        assert self.by in APART_BY, self.by
        assert self.models, self


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """`placement.constraints` of a file, with names resolved.

    colocate: of each set, a group holds all or none. pin: device ids by model; a replica of the model uses no
    others. Reserved devices are the cluster's (`Cluster.reserved`), bounds of replicas the model's.
    """

    colocate: tuple[tuple[str, ...], ...] = ()
    separate: tuple[Apart, ...] = ()
    pin: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
