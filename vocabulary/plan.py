"""A plan: a placement, and what the search that found it said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vocabulary.placement import Placement


@dataclass(frozen=True)
class Plan:
    """What a plan file holds. Everything but `placement` is a record for people and tools.

    predicted: statistics of the training trace, per model under `models`; search: algorithm, evaluations,
    seconds, seed; binding_constraints: sentences; inputs: hashes of the files that the plan was made from.
    Values are plain (text, numbers, lists, mappings with text keys).
    """

    placement: Placement
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])
    predicted: Mapping[str, object] = field(default_factory=dict[str, object])
    search: Mapping[str, object] = field(default_factory=dict[str, object])
    binding_constraints: tuple[object, ...] = ()
    inputs: Mapping[str, object] = field(default_factory=dict[str, object])
