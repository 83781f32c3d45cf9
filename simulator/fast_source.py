"""The source of the counting kernel: `fast_kernel.replay` without outcomes, one program a number of stages.

Stages are unrolled, so that a request's clocks stay in registers, and what wins is selected, not branched to:
which replica is first is a coin toss that processors predict badly. The same `max` and `+` in the same order.
"""

from __future__ import annotations

from functools import cache

# Lines with {s} are repeated for every stage.
_TEMPLATE = '''\
"""Counts for {num_stages} stages. Written by simulator/fast_source.py."""

from numba import njit

from simulator.fast_kernel import MIN_STAGE_CLOCK, ROUND_ROBIN, SHORTEST_EXPECTED_DELAY, select


@njit(cache=True, nogil=True)
def replay(arrivals, replicas, rules, rows, clocks_s, turns, num_good, num_routed):
    arrival_s, model_index, latest_s = arrivals
    first_slot, slot_group, slot_stages_s, _ = replicas
    router, admits_all, overhead_s, slack_s, _ = rules
    total_latency_s = 0.0
    for i in range(rows[0], rows[1]):
        now_s, model = arrival_s[i], model_index[i]
        slot, stop = first_slot[model], first_slot[model + 1]
        if slot == stop:
            continue
        others = range(slot + 1, stop)
        if router == ROUND_ROBIN:
            slot += turns[model] % (stop - slot)
            turns[model] += 1
        elif router == MIN_STAGE_CLOCK:
            earliest_s = clocks_s[slot_group[slot], {last}]
            for other in others:
                time_s = clocks_s[slot_group[other], {last}]
                is_earlier = time_s < earliest_s
                slot = select(is_earlier, other, slot)
                earliest_s = select(is_earlier, time_s, earliest_s)
        group = slot_group[slot]
        free_s, stages_s = clocks_s[group], slot_stages_s[slot]
        time_s = now_s
        time_s = end_{s}_s = max(free_s[{s}], time_s) + stages_s[{s}]
        if router == SHORTEST_EXPECTED_DELAY:
            for other in others:
                other_group = slot_group[other]
                free_s, stages_s = clocks_s[other_group], slot_stages_s[other]
                time_s = now_s
                time_s = new_{s}_s = max(free_s[{s}], time_s) + stages_s[{s}]
                is_earlier = time_s < end_{last}_s
                group = select(is_earlier, other_group, group)
                end_{s}_s = select(is_earlier, new_{s}_s, end_{s}_s)
        finish_s = end_{last}_s + overhead_s
        num_routed[group] += 1
        # A branch on purpose: mostly foreseen, so that the next request need not wait for this one's end.
        if not admits_all and (finish_s + slack_s) - now_s > latest_s[model]:
            continue
        latency_s = finish_s - now_s
        num_good[model] += latency_s <= latest_s[model]
        total_latency_s += latency_s
        free_s = clocks_s[group]
        free_s[{s}] = end_{s}_s
    return total_latency_s
'''


@cache
def counting_source(num_stages: int) -> str:
    """The program's text. It defines `replay`; clocks_s: [groups, stages], zero for an idle fleet."""
    lines: list[str] = []
    for template in _TEMPLATE.splitlines():
        stages = range(num_stages if "{s}" in template else 1)
        lines += [template.format(s=s, last=num_stages - 1, num_stages=num_stages) for s in stages]
    return "\n".join([*lines, ""])
