"""Random neighbours of a placement, compiled: replicas added, exchanged or moved to another group.

A search asks for tens of thousands of them a second. Importing this file imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Of all changes, these shares add a replica where there is room, move one to another group, or put one
# where others make room for it; the rest exchange some.
ADDED, MOVED, PUT = 0.1, 0.3, 0.3
# Most replicas that leave a group for one that comes.
MAX_EVICTED = 8


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# bool [groups, models].
Held = NDArray[np.bool_]
# A row of random numbers, and how many are used [1].
Draw = tuple[Floats, Ints]


class Room(NamedTuple):
    """What fits where. Groups of one kind are alike but for the devices.

    kind: int64 [groups]; weight_bytes, activation_bytes: int64 [kinds, models, stages]; usable_bytes: int64
    [groups]; allowed: bool [groups, models]; apart: bool [models, models], may not share a group;
    min_replicas, max_replicas: int64 [models].
    """

    kind: NDArray[np.int64]
    weight_bytes: NDArray[np.int64]
    activation_bytes: NDArray[np.int64]
    usable_bytes: NDArray[np.int64]
    allowed: NDArray[np.bool_]
    apart: NDArray[np.bool_]
    min_replicas: NDArray[np.int64]
    max_replicas: NDArray[np.int64]


@njit(cache=True, nogil=True)
def propose(held: Held, room: Room, weight: Floats, leaving: Floats, draws: Floats, proposed: Held) -> None:
    """Writes a neighbour of `held` (bool [groups, models]) into each of `proposed` [n, groups, models].

    weight: float64 [models], how likely a model is chosen to be added; leaving: float64 [groups, models], how
    likely a replica is chosen to leave; all positive. draws: float64 [n, many] in
    [0, 1), a row for each neighbour: with the same draws the same neighbours. Where none was found it is
    `held` again.
    """
    num_groups = len(held)
    for lane in range(len(proposed)):
        here, draw = proposed[lane], _draws(draws[lane])
        here[:] = held
        replicas = held.sum(axis=0)
        group = _index(draw, num_groups)
        choice = _next(draw)
        if choice < ADDED:
            if not _added(here, room, replicas, weight, group, -1, draw):
                _exchanged(here, room, replicas, weight, leaving, group, draw)
        elif choice < ADDED + MOVED and num_groups > 1:
            other = (group + 1 + _index(draw, num_groups - 1)) % num_groups
            _moved(here, room, replicas, weight, leaving, group, other, draw)
        elif choice < ADDED + MOVED + PUT:
            _put(here, room, replicas, weight, leaving, group, draw)
        else:
            _exchanged(here, room, replicas, weight, leaving, group, draw)


@njit(cache=True, nogil=True)
def _draws(row: Floats) -> Draw:
    """Random numbers of one neighbour, and how many are used."""
    return row, np.zeros(1, dtype=np.int64)


@njit(cache=True, nogil=True)
def _next(draw: Draw) -> float:
    row, used = draw
    used[0] += 1
    place: int = (used[0] - 1) % len(row)
    return row[place]


@njit(cache=True, nogil=True)
def _index(draw: Draw, count: int) -> int:
    return min(count - 1, int(_next(draw) * count))


@njit(cache=True, nogil=True)
def _exchanged(
    here: Held, room: Room, replicas: Ints, weight: Floats, leaving: Floats, group: int, draw: Draw
) -> None:
    """One or two replicas leave the group, others take their room."""
    gone = _dropped(here, room, replicas, leaving, group, draw)
    if gone < 0:
        _refilled(here, room, replicas, weight, group, -1, draw)
        return
    if _next(draw) < 0.3:
        _dropped(here, room, replicas, leaving, group, draw)
    _refilled(here, room, replicas, weight, group, gone, draw)


@njit(cache=True, nogil=True)
def _moved(
    here: Held,
    room: Room,
    replicas: Ints,
    weight: Floats,
    leaving: Floats,
    group: int,
    other: int,
    draw: Draw,
) -> None:
    """A replica goes to another group, where others make room and come back; both are filled up again."""
    model = _member(here, leaving, group, draw)
    if model < 0 or here[other, model] or not room.allowed[other, model]:
        _exchanged(here, room, replicas, weight, leaving, other, draw)
        return
    before = here[other].copy()
    here[group, model] = False
    if not _squeezed_in(here, room, replicas, leaving, other, model, draw):
        here[group, model] = True  # it was there before, so there is room for it
    for evicted in range(len(before)):
        if before[evicted] and not here[other, evicted] and not here[group, evicted]:
            has_place = replicas[evicted] < room.max_replicas[evicted]
            if has_place and _fits(here, room, group, evicted):
                here[group, evicted] = True
                replicas[evicted] += 1
    _refilled(here, room, replicas, weight, group, model, draw)
    _refilled(here, room, replicas, weight, other, -1, draw)


@njit(cache=True, nogil=True)
def _put(
    here: Held, room: Room, replicas: Ints, weight: Floats, leaving: Floats, group: int, draw: Draw
) -> None:
    """A model comes to the group, chosen by weight whether or not there is room; others leave for it."""
    wanted = np.zeros(here.shape[1])
    for model in range(here.shape[1]):
        if not here[group, model] and room.allowed[group, model]:
            wanted[model] = weight[model]
    chosen = _chosen(wanted, draw)
    has_place = chosen >= 0 and replicas[chosen] < room.max_replicas[chosen]
    if has_place and _squeezed_in(here, room, replicas, leaving, group, chosen, draw):
        replicas[chosen] += 1
    _refilled(here, room, replicas, weight, group, -1, draw)


@njit(cache=True, nogil=True)
def _squeezed_in(
    here: Held, room: Room, replicas: Ints, leaving: Floats, group: int, model: int, draw: Draw
) -> bool:
    """Adds the model once enough random others have left; whether it is there."""
    for _ in range(MAX_EVICTED):
        if _fits(here, room, group, model):
            here[group, model] = True
            return True
        if _dropped(here, room, replicas, leaving, group, draw) < 0:
            return False
    return False


@njit(cache=True, nogil=True)
def _dropped(here: Held, room: Room, replicas: Ints, leaving: Floats, group: int, draw: Draw) -> int:
    """Takes a random replica away that may leave; the model, or -1."""
    model = _member(here, leaving, group, draw)
    if model < 0 or replicas[model] <= room.min_replicas[model]:
        return -1
    here[group, model] = False
    replicas[model] -= 1
    return model


@njit(cache=True, nogil=True)
def _member(here: Held, leaving: Floats, group: int, draw: Draw) -> int:
    """A random model of the group; -1 of an empty one."""
    return _chosen(np.where(here[group], leaving[group], 0.0), draw)


@njit(cache=True, nogil=True)
def _refilled(
    here: Held, room: Room, replicas: Ints, weight: Floats, group: int, gone: int, draw: Draw
) -> None:
    """Models are added for as long as there is room, but not the one that has just left."""
    while _added(here, room, replicas, weight, group, gone, draw):
        pass


@njit(cache=True, nogil=True)
def _added(here: Held, room: Room, replicas: Ints, weight: Floats, group: int, gone: int, draw: Draw) -> bool:
    """Adds one model that fits, by weight; whether there was one."""
    fitting = np.zeros(here.shape[1])
    used, peak = _used(here, room, group)
    for model in range(here.shape[1]):
        if model == gone or here[group, model] or replicas[model] >= room.max_replicas[model]:
            continue
        if _fits_beside(here, room, group, model, used, peak):
            fitting[model] = weight[model]
    chosen = _chosen(fitting, draw)
    if chosen < 0:
        return False
    here[group, chosen] = True
    replicas[chosen] += 1
    return True


@njit(cache=True, nogil=True)
def _chosen(weights: Floats, draw: Draw) -> int:
    """An index by weight; -1 where all are 0."""
    left = _next(draw) * weights.sum()
    chosen = -1
    for index in range(len(weights)):
        if weights[index] > 0.0:
            chosen = index
            left -= weights[index]
            if left < 0.0:
                break
    return chosen


@njit(cache=True, nogil=True)
def _fits(here: Held, room: Room, group: int, model: int) -> bool:
    used, peak = _used(here, room, group)
    return _fits_beside(here, room, group, model, used, peak)


@njit(cache=True, nogil=True)
def _used(here: Held, room: Room, group: int) -> tuple[Ints, Ints]:
    """Weight bytes, and the largest activation bytes, on a device of each stage."""
    kind = room.kind[group]
    used = np.zeros(room.weight_bytes.shape[2], dtype=np.int64)
    peak = np.zeros(room.weight_bytes.shape[2], dtype=np.int64)
    for model in range(here.shape[1]):
        if here[group, model]:
            for stage in range(len(used)):
                used[stage] += room.weight_bytes[kind, model, stage]
                peak[stage] = max(peak[stage], room.activation_bytes[kind, model, stage])
    return used, peak


@njit(cache=True, nogil=True)
def _fits_beside(here: Held, room: Room, group: int, model: int, used: Ints, peak: Ints) -> bool:
    if not room.allowed[group, model]:
        return False
    kind = room.kind[group]
    for stage in range(len(used)):
        activations = max(peak[stage], room.activation_bytes[kind, model, stage])
        if used[stage] + room.weight_bytes[kind, model, stage] + activations > room.usable_bytes[group]:
            return False
    return not (here[group] & room.apart[model]).any()
