"""Which device sends which block to which: every target box is covered once by pieces of source boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resharding.boxes import Box, intersect, subtract


@dataclass(frozen=True, slots=True)
class Copy:
    """`box`, in coordinates of the whole array, goes from the tile of `source` into the tile of `target`."""

    source: int
    target: int
    box: Box


def plan_copies(source: Mapping[int, Box], target: Mapping[int, Box]) -> tuple[Copy, ...]:
    """Copies that fill every target box exactly once, in order of target device.

    A piece that the target device holds already comes from itself; any other from the holder that has the
    fewest elements to send so far (ties: the lowest device). Empty boxes take no part.
    Asserts that the source boxes cover the target boxes.
    """
    sent = dict.fromkeys(source, 0)
    copies: list[Copy] = []
    for device in sorted(target):
        for copy in _cover(target[device], device, source=source, sent=sent):
            copies.append(copy)
            sent[copy.source] += copy.box.volume if copy.source != copy.target else 0
    return tuple(copies)


def _cover(box: Box, device: int, *, source: Mapping[int, Box], sent: Mapping[int, int]) -> list[Copy]:
    order = sorted(source, key=lambda holder: (holder != device, sent[holder], holder))
    missing = [box] if box.volume else []
    copies: list[Copy] = []
    for holder in order:
        found = [intersect(part, source[holder]) for part in missing]
        copies += [Copy(holder, device, piece) for piece in found if piece.volume]
        missing = [rest for part in missing for rest in subtract(part, source[holder])]
    assert not missing, f"no source holds {missing} of the box for device {device}"
    return copies
