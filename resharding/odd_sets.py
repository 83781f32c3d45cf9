"""What ports that work one way at a time cannot do: among 2k + 1 hosts no more than k messages at once.

Edmonds' odd sets: with the busiest port they are all that bounds a preemptive schedule of given messages on
such ports (the fractional edge colouring of a multigraph). Here messages are not given, so only bytes count
that certainly stay inside a set: those of classes all of whose hosts lie in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from resharding.classes import TransferClass

# Sets are unions of classes' hosts: all of them for so many classes, else of pairs and of all.
_MAX_CLASSES = 9


def odd_set_bytes(classes: Sequence[TransferClass]) -> float:
    """Bytes that some one of the messages under way at once must carry; 0 if no set says so."""
    inside = [(_mask((*one.senders, *one.receivers)), len(one.receivers) * one.num_bytes) for one in classes]
    most = 0.0
    for union in _unions([mask for mask, _ in inside]):
        num_at_once = union.bit_count() // 2
        stays = sum(num_bytes for mask, num_bytes in inside if mask | union == union)
        most = max(most, stays / num_at_once)
    return most


def _mask(hosts: Sequence[int]) -> int:
    return sum(1 << host for host in hosts)


def _unions(masks: Sequence[int]) -> set[int]:
    distinct = list(dict.fromkeys(masks))
    found = {0}
    if len(distinct) <= _MAX_CLASSES:
        for mask in distinct:
            found |= {mask | union for union in found}
    else:
        found |= {one | other for one, other in combinations(distinct, 2)} | set(distinct)
        everything = 0
        for mask in distinct:
            everything |= mask
        found.add(everything)
    return found - {0}
