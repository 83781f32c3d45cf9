"""The source of the lanes kernel: one program for each number of stages, router and admission.

Stages are unrolled, so that a request's clocks stay in registers; the innermost loop, over LANES candidates,
is one operation on `lanes_vectors.Row`. In every lane the same `max` and `+` in the same order as
`fast_kernel.replay`, hence equal to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# Lines with {s} are repeated for every stage; {all:x} are the stages' x with commas between; lines with this
# comment are for layouts whose groups differ.
_IF_MIXED = "  # if mixed"
_HEAD = '''\
"""{note}. Written by simulator/lanes_source.py; arguments as in simulator/lanes_tables.py."""

from numba import njit

from simulator.lanes_vectors import (
    LANES, count, gather, if_less, load, minus, occupied, plus, scatter, store, wide,
)


@njit(cache=True, nogil=True)
def replay(arrival_s, model_index, rows, tables, terms_s, clocks_s, places, counts):
    first_row, offsets, due_s, latency_s = tables
    num_good, num_chosen, total_s = counts
    overhead_s, slack_s = wide(terms_s[0]), wide(terms_s[1])
    zero, one, never_s = wide(0.0), wide(1.0), wide(-float("inf"))
    for i in range(rows[0], rows[1]):
        model = model_index[i]
        first, last = first_row[model] * LANES, (first_row[model + 1] - 1) * LANES
        if last <= first:
            continue
        now_s, latest_s = wide(arrival_s[i]), load(due_s, model * LANES)
        chosen = load(places, 0)
'''
_SAME_LATENCIES = """\
        latency_{s}_s = wide(latency_s[model * {num_stages} + {s}])
"""
_EARLIEST_END = """\
        {all:free} = gather(clocks_s, offsets, first, {num_stages})
        latency_{s}_s = load(latency_s, first * {num_stages} + {s} * LANES)  # if mixed
        time_s = now_s
        time_s = end_{s}_s = occupied(free_{s}_s, time_s, latency_{s}_s)
        for at in range(first + LANES, last, LANES):
            earliest_s = end_{last}_s
            {all:free} = gather(clocks_s, offsets, at, {num_stages})
            latency_{s}_s = load(latency_s, at * {num_stages} + {s} * LANES)  # if mixed
            time_s = now_s
            time_s = new_{s}_s = occupied(free_{s}_s, time_s, latency_{s}_s)
            end_{s}_s = if_less(time_s, earliest_s, new_{s}_s, end_{s}_s)
            chosen = if_less(time_s, earliest_s, load(places, at - first), chosen)
"""
_LAST_STAGE_FREE_FIRST = """\
        {all:free} = gather(clocks_s, offsets, first, {num_stages})
        latency_{s}_s = load(latency_s, first * {num_stages} + {s} * LANES)  # if mixed
        for at in range(first + LANES, last, LANES):
            earliest_s = free_{last}_s
            {all:new} = gather(clocks_s, offsets, at, {num_stages})
            new_s = new_{last}_s
            free_{s}_s = if_less(new_s, earliest_s, new_{s}_s, free_{s}_s)
            other_{s}_s = load(latency_s, at * {num_stages} + {s} * LANES)  # if mixed
            latency_{s}_s = if_less(new_s, earliest_s, other_{s}_s, latency_{s}_s)  # if mixed
            chosen = if_less(new_s, earliest_s, load(places, at - first), chosen)
        time_s = now_s
        time_s = end_{s}_s = occupied(free_{s}_s, time_s, latency_{s}_s)
"""
_JUDGED = """\
        finish_s = plus(end_{last}_s, overhead_s)
        taken_s = minus(finish_s, now_s)
        count(num_chosen, first, chosen)
        good = load(num_good, model * LANES)
"""
_BY_SLO = """\
        judged_s = minus(plus(finish_s, slack_s), now_s)
        store(num_good, model * LANES, plus(good, if_less(latest_s, judged_s, zero, one)))
        store(total_s, 0, plus(load(total_s, 0), if_less(latest_s, judged_s, zero, taken_s)))
        chosen = if_less(latest_s, judged_s, load(places, last - first), chosen)
"""
_ALL = """\
        store(num_good, model * LANES, plus(good, if_less(latest_s, taken_s, zero, one)))
        store(total_s, 0, plus(load(total_s, 0), if_less(never_s, latest_s, taken_s, zero)))
"""
_TAKEN = """\
        scatter(clocks_s, offsets, first, chosen, {all:end})
"""
_CHOICE = {"shortest_expected_delay": _EARLIEST_END, "min_stage_clock": _LAST_STAGE_FREE_FIRST}
ROUTERS = tuple(_CHOICE)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a program is made for. is_mixed: groups differ in how long they take for a model."""

    num_stages: int
    router: str
    admits_all: bool
    is_mixed: bool

    def __post_init__(self) -> None:
        assert self.num_stages > 0, self.num_stages
        assert self.router in ROUTERS, self.router


@cache
def source_of(kernel: Kernel) -> str:
    """The program's text. It defines `replay`."""
    parts = [
        "" if kernel.is_mixed else _SAME_LATENCIES,
        _CHOICE[kernel.router],
        _JUDGED,
        _ALL if kernel.admits_all else _BY_SLO,
        _TAKEN,
    ]
    lines = [line for part in parts for line in part.splitlines()]
    kept = [line.removesuffix(_IF_MIXED) for line in lines if kernel.is_mixed or not line.endswith(_IF_MIXED)]
    head = _HEAD.format(note=kernel)
    return head + "".join(f"{line}\n" for template in kept for line in _unrolled(template, kernel.num_stages))


def _unrolled(template: str, num_stages: int) -> list[str]:
    stages = range(num_stages if "{s}" in template else 1)
    return [
        template.format(s=s, last=num_stages - 1, num_stages=num_stages, all=_All(num_stages)) for s in stages
    ]


class _All:
    """`{all:free}` in a template is `(free_0_s, free_1_s, )`."""

    def __init__(self, num_stages: int) -> None:
        self._num_stages = num_stages

    def __format__(self, name: str) -> str:
        return f"({''.join(f'{name}_{stage}_s, ' for stage in range(self._num_stages))})"
