"""The compiled heart of the fast scorer: first-come-first-served pipelines, request by request.

The same `max` and `+` in the same order as `scheduling.pipeline`, so results equal the machines' to the last
bit (docs/decisions/0002-time.md). Importing this file imports numba; the compiled code is kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from scheduling import two_choices
from vocabulary.outcomes import FATE_CODE, NO_GROUP
from vocabulary.request import Fate

SHORTEST_EXPECTED_DELAY, MIN_STAGE_CLOCK, LEAST_LOADED, ROUND_ROBIN, POWER_OF_TWO = range(5)
ROUTER_CODE = {
    "shortest_expected_delay": SHORTEST_EXPECTED_DELAY,
    "min_stage_clock": MIN_STAGE_CLOCK,
    "least_loaded": LEAST_LOADED,
    "round_robin": ROUND_ROBIN,
    "power_of_two": POWER_OF_TWO,
}
# The same sums as `scheduling.two_choices`, compiled.
_mixed = njit(two_choices.mixed_of)
SERVED, SLO_INFEASIBLE = FATE_CODE[Fate.SERVED], FATE_CODE[Fate.SLO_INFEASIBLE]
NOT_PLACED, QUEUE_FULL = FATE_CODE[Fate.NOT_PLACED], FATE_CODE[Fate.QUEUE_FULL]
# In the lists of requests in flight: the end of a list.
NOBODY = -1


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Arrivals(NamedTuple):
    """Who asks when: columns [requests], and the latest latency in time (SLO plus tolerance) [models]."""

    arrival_s: NDArray[np.float64]
    model_index: NDArray[np.int32]
    latest_s: NDArray[np.float64]


class Replicas(NamedTuple):
    """Slots first_slot[m] .. first_slot[m + 1] are the replicas of model m, in plan order.

    Each lies on the group slot_group and takes slot_stages_s [slots, stages]; num_stages is a group's.
    """

    first_slot: NDArray[np.int64]
    slot_group: NDArray[np.int64]
    slot_stages_s: NDArray[np.float64]
    num_stages: NDArray[np.int64]


class Rules(NamedTuple):
    router: int
    admits_all: bool
    overhead_s: float
    slack_s: float
    max_queued: int


class Columns(NamedTuple):
    """What becomes of every request; end_s is when it leaves the last stage, written where routed."""

    end_s: NDArray[np.float64]
    group_index: NDArray[np.int32]
    fate: NDArray[np.int8]
    good: NDArray[np.bool_]


class Scratch(NamedTuple):
    """All zeros for an idle fleet. free_s [groups, 2, stages]: when each stage is next free, on side[group].

    A request's stage ends are written on the other side; to take the request is to turn the group over.
    turns [models]: requests routed so far.
    """

    free_s: NDArray[np.float64]
    side: NDArray[np.int64]
    turns: NDArray[np.int64]


class InFlight(NamedTuple):
    """Lists of requests in flight, in order of end: of a group, or of a slot. `following` is [requests]."""

    head: NDArray[np.int64]
    tail: NDArray[np.int64]
    length: NDArray[np.int64]
    following: NDArray[np.int64]


@intrinsic
def select(
    typing: Any, condition: types.Type, then: types.Type, otherwise: types.Type
) -> tuple[Any, Callable[..., ir.Value]]:
    """`then if condition else otherwise` without a branch: for what processors predict badly."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.select(*arguments)

    return then(types.boolean, then, then), build


@njit(inline="always")
def _run(
    now_s: float, slot: int, group: int, slot_stages_s: Floats, num_stages: Ints, free_s: Floats, side: Ints
) -> float:
    """When work that may start now leaves the last stage; the group's spare side gets the stages' ends."""
    time_s, stages_s = now_s, slot_stages_s[slot]
    before_s, after_s = free_s[group, side[group]], free_s[group, 1 - side[group]]
    for stage in range(num_stages[group]):
        time_s = max(before_s[stage], time_s) + stages_s[stage]
        after_s[stage] = time_s
    return time_s


@njit(inline="always")
def _spare_end_s(group: int, num_stages: Ints, free_s: Floats, side: Ints) -> float:
    """What `_run` returned, of the group that it was asked about last."""
    spare: int = 1 - side[group]
    last: int = num_stages[group] - 1
    return free_s[group, spare, last]


@njit(inline="always")
def _num_in_flight(which: int, now_s: float, end_s: Floats, head: Ints, length: Ints, following: Ints) -> int:
    """Length of a list after what ended before `now_s` has left it; what ends right now is still there."""
    member = head[which]
    while member != NOBODY and end_s[member] < now_s:
        member = following[member]
        length[which] -= 1
    head[which] = member
    return length[which]


@njit(inline="always")
def _append(which: int, member: int, head: Ints, tail: Ints, length: Ints, following: Ints) -> None:
    following[member] = NOBODY
    if head[which] == NOBODY:
        head[which] = member
    else:
        following[tail[which]] = member
    tail[which] = member
    length[which] += 1


@njit(inline="always")
def _last_stage_free_first(
    begin: int, stop: int, slot_group: Ints, num_stages: Ints, free_s: Floats, side: Ints
) -> int:
    chosen, earliest_s = begin, np.inf
    for slot in range(begin, stop):
        group = slot_group[slot]
        last_s = free_s[group, side[group], num_stages[group] - 1]
        is_earlier = last_s < earliest_s
        chosen, earliest_s = select(is_earlier, slot, chosen), select(is_earlier, last_s, earliest_s)
    return chosen


@njit(inline="always")
def _fewest_in_flight(
    now_s: float,
    begin: int,
    stop: int,
    slot_group: Ints,
    end_s: Floats,
    head: Ints,
    length: Ints,
    following: Ints,
) -> int:
    chosen, fewest = begin, len(end_s)
    for slot in range(begin, stop):
        num_in_flight = _num_in_flight(slot_group[slot], now_s, end_s, head, length, following)
        if num_in_flight < fewest:
            chosen, fewest = slot, num_in_flight
    return chosen


@njit(inline="always")
def _two_of(num_choices: int, count: int) -> tuple[int, int]:
    mixed = _mixed(count)
    first = mixed % num_choices
    second = (first + 1 + mixed // num_choices % (num_choices - 1)) % num_choices
    return min(first, second), max(first, second)


@njit(inline="always")
def _better_of_two(
    now_s: float,
    choices: tuple[int, int, int],
    slot_group: Ints,
    slot_stages_s: Floats,
    num_stages: Ints,
    free_s: Floats,
    side: Ints,
) -> int:
    begin, stop, count = choices
    if stop - begin == 1:
        return begin
    first, second = _two_of(stop - begin, count)
    one, other = begin + first, begin + second
    one_s = _run(now_s, one, slot_group[one], slot_stages_s, num_stages, free_s, side)
    other_s = _run(now_s, other, slot_group[other], slot_stages_s, num_stages, free_s, side)
    return one if one_s <= other_s else other


@njit(inline="always")
def _earliest_end(
    now_s: float,
    begin: int,
    stop: int,
    slot_group: Ints,
    slot_stages_s: Floats,
    num_stages: Ints,
    free_s: Floats,
    side: Ints,
) -> int:
    chosen, earliest_s = begin, np.inf
    for slot in range(begin, stop):
        time_s = _run(now_s, slot, slot_group[slot], slot_stages_s, num_stages, free_s, side)
        is_earlier = time_s < earliest_s
        chosen, earliest_s = select(is_earlier, slot, chosen), select(is_earlier, time_s, earliest_s)
    return chosen


@njit(cache=True, nogil=True)
def replay(
    arrivals: Arrivals, replicas: Replicas, rules: Rules, rows: tuple[int, int], scratch: Scratch,
    by_group: InFlight, by_slot: InFlight, columns: Columns, num_good: Ints, num_routed: Ints,
) -> float:  # fmt: skip
    """Replay a trace through a placement; writes `columns`, and two counts for the requests in `rows`.

    num_good [models]: served within the SLO; num_routed [groups]: sent there, also when refused there.
    Returns the summed latency in seconds of the served ones in `rows`.
    """
    arrival_s, model_index, latest_s = arrivals
    first_slot, slot_group, slot_stages_s, num_stages = replicas
    router, admits_all, overhead_s, slack_s, max_queued = rules
    first_row, end_row = rows
    free_s, side, turns = scratch
    group_head, group_tail, group_length, group_following = by_group
    slot_head, slot_tail, slot_length, slot_following = by_slot
    end_s, group_index, fate, good = columns
    counts_models = max_queued < len(arrival_s)
    total_latency_s = 0.0
    for i in range(len(arrival_s)):
        now_s, model = float(arrival_s[i]), int(model_index[i])
        begin, stop = int(first_slot[model]), int(first_slot[model + 1])
        group_index[i], good[i], fate[i] = NO_GROUP, False, NOT_PLACED
        if begin == stop:
            continue
        if counts_models:
            num_queued = 0
            for slot in range(begin, stop):
                num_queued += _num_in_flight(slot, now_s, end_s, slot_head, slot_length, slot_following)
            if num_queued >= max_queued:
                fate[i] = QUEUE_FULL
                continue
        if router == SHORTEST_EXPECTED_DELAY:
            slot = _earliest_end(now_s, begin, stop, slot_group, slot_stages_s, num_stages, free_s, side)
            time_s = _spare_end_s(slot_group[slot], num_stages, free_s, side)
        else:
            if router == ROUND_ROBIN:
                slot = begin + int(turns[model]) % (stop - begin)
                turns[model] += 1
            elif router == POWER_OF_TWO:
                choices = begin, stop, turns[model]
                slot = _better_of_two(now_s, choices, slot_group, slot_stages_s, num_stages, free_s, side)
                turns[model] += 1
            elif router == MIN_STAGE_CLOCK:
                slot = _last_stage_free_first(begin, stop, slot_group, num_stages, free_s, side)
            else:
                slot = _fewest_in_flight(
                    now_s, begin, stop, slot_group, end_s, group_head, group_length, group_following
                )
            time_s = _run(now_s, slot, slot_group[slot], slot_stages_s, num_stages, free_s, side)
        group = slot_group[slot]
        counts = first_row <= i < end_row
        num_routed[group] += counts
        end_s[i] = time_s
        finish_s = time_s + overhead_s
        if not admits_all and (finish_s + slack_s) - now_s > latest_s[model]:
            fate[i] = SLO_INFEASIBLE
            continue
        side[group] = 1 - side[group]
        fate[i], group_index[i] = SERVED, group
        is_good = finish_s - now_s <= latest_s[model]
        good[i] = is_good
        if counts:
            num_good[model] += is_good
            total_latency_s += finish_s - now_s
        if router == LEAST_LOADED:
            _append(group, i, group_head, group_tail, group_length, group_following)
        if counts_models:
            _append(slot, i, slot_head, slot_tail, slot_length, slot_following)
    return total_latency_s
