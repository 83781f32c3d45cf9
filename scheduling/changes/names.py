"""Which groups of two plans are the same, whatever they are called there."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from vocabulary.placement import Group, Placement


def keep_names(there: Placement, wanted: Placement) -> Placement:
    """`wanted`, in which a group has the id of the one that is there on the same devices, configured alike.

    So its process stays. A group that is new has an id that none there has, so that it can start before those
    end: its own, or that with a number.
    """
    known = {(group.devices, group.config): group.id for group in there.groups}
    ids = [known.get((group.devices, group.config)) for group in wanted.groups]
    taken = {group.id for group in there.groups} | {group_id for group_id in ids if group_id is not None}
    groups: list[Group] = []
    for group, kept in zip(wanted.groups, ids, strict=True):
        group_id = kept or _free(group.id, taken)
        taken.add(group_id)
        groups.append(group if group_id == group.id else replace(group, id=group_id))
    return Placement(tuple(groups))


def _free(group_id: str, taken: set[str]) -> str:
    if group_id not in taken:
        return group_id
    return next(name for number in count(2) if (name := f"{group_id}-{number}") not in taken)
