"""The groups of a fleet as they come and go, known by an index that counts up and is never given twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import final

from vocabulary.placement import Group, Placement


@final
class GroupTable:
    """One for all parts of a fleet's server; only the server writes to it."""

    def __init__(self, placement: Placement) -> None:
        self._groups = dict(enumerate(placement.groups))

    @property
    def groups(self) -> Mapping[int, Group]:
        """By index, in the order in which they came."""
        return self._groups

    @property
    def placement(self) -> Placement:
        """What is there now."""
        return Placement(tuple(self._groups.values()))

    def add(self, group_index: int, group: Group) -> None:
        self._groups[group_index] = group

    def remove(self, group_index: int) -> None:
        del self._groups[group_index]

    def add_model(self, group_index: int, model: str) -> None:
        """Idempotent."""
        group = self._groups[group_index]
        if model not in group.models:
            self._groups[group_index] = replace(group, models=(*group.models, model))

    def remove_model(self, group_index: int, model: str) -> None:
        group = self._groups[group_index]
        left = tuple(name for name in group.models if name != model)
        self._groups[group_index] = replace(group, models=left)

    def id_of(self, group_index: int | None) -> str:
        """Empty for none, and for one that is gone."""
        group = None if group_index is None else self._groups.get(group_index)
        return "" if group is None else group.id

    def index_of(self, group_id: str) -> int | None:
        """Of the group that has the id now."""
        return next((index for index, group in self._groups.items() if group.id == group_id), None)

    def holders(self, model: str) -> tuple[int, ...]:
        """Indices of the groups that hold the model, open or not."""
        return tuple(index for index, group in self._groups.items() if model in group.models)
