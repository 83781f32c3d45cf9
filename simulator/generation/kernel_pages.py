"""Continuous batching with pages, compiled: chunked prompts, preemption by recomputing, cached prefixes.

The rule of `scheduling.generation` for one stage and first come, first served, step by step where something
happens; while all decode and nothing is admitted, evicted for others or preempted, many steps are taken at
once. Step times are added one by one, so that times equal the machines' to the last bit.
"""

from __future__ import annotations

import numpy as np
from numba import int64, njit

from simulator.generation import kernel
from simulator.generation.kernel import COMPILED, Asked, Columns, Ints, Limits, Seconds
from simulator.generation.running import Cache, Running

# Places in `state`: how many run; pages that are free; pages of the cache that nobody uses; how many were
# preempted and wait; the first request that was never admitted.
RUNNING, FREE, UNUSED, RETURNED, HEAD, NUM_STATE = range(6)


@njit(inline="always")
def _step_s(num_tokens: int, kv_tokens: int, seconds: Seconds) -> float:
    constant_s, token_s, kv_token_s = seconds
    return constant_s + token_s * num_tokens + kv_token_s * kv_tokens


@njit(inline="always")
def _pages_of(num_tokens: int, page_tokens: int) -> int:
    return (num_tokens + page_tokens - 1) // page_tokens


@njit(inline="always")
def _number(request: int, index: int, page_tokens: int, cache: Cache) -> int:
    """Of page `index` of the prompt of a request."""
    depth = ((index + 1) * page_tokens - 1) // cache.block_tokens
    place: int = cache.first_node[request] + depth
    node: int = cache.node[place]
    return cache.first_page[node] + index - depth * cache.block_tokens // page_tokens


@njit(inline="always")
def _num_keys(request: int, input_tokens: int, page_tokens: int, cache: Cache) -> int:
    num_blocks: int = cache.first_node[request + 1] - cache.first_node[request]
    return min(int64(input_tokens), num_blocks * cache.block_tokens) // page_tokens


@njit(**COMPILED)
def _use(number: int, state: Ints, cache: Cache) -> None:
    if cache.users[number] == 0:
        before, after = cache.before[number], cache.after[number]
        cache.after[before], cache.before[after] = after, before
        state[UNUSED] -= 1
    cache.users[number] += 1


@njit(**COMPILED)
def _evict(num_pages: int, state: Ints, cache: Cache) -> None:
    """So many unused pages become free, those used longest ago first."""
    ring = len(cache.before) - 1
    for _ in range(num_pages):
        number = cache.after[ring]
        after = cache.after[number]
        cache.after[ring], cache.before[after] = after, ring
        cache.is_known[number] = False
    if num_pages > 0:
        state[UNUSED] -= num_pages
        state[FREE] += num_pages


@njit(**COMPILED)
def _give_back(place: int, page_tokens: int, state: Ints, running: Running, cache: Cache) -> None:
    """All pages of a sequence, the last one first."""
    ring, request = len(cache.before) - 1, running.request[place]
    for index in range(running.shared[place] - 1, -1, -1):
        number = _number(request, index, page_tokens, cache)
        cache.users[number] -= 1
        if cache.users[number] == 0:
            before = cache.before[ring]
            cache.after[before], cache.before[ring] = number, number
            cache.before[number], cache.after[number] = before, ring
            state[UNUSED] += 1
    state[FREE] += running.pages[place] - running.shared[place]


@njit(**COMPILED)
def _make_known(
    place: int, num_keys: int, page_tokens: int, state: Ints, running: Running, cache: Cache
) -> None:
    """The full pages of a complete prompt; where the cache has the page already, the own one is free."""
    request = running.request[place]
    for index in range(running.shared[place], num_keys):
        number = _number(request, index, page_tokens, cache)
        if cache.is_known[number]:
            _use(number, state, cache)
            state[FREE] += 1
        else:
            cache.is_known[number] = True
            cache.users[number] = 1
    running.shared[place] = num_keys


@njit(**COMPILED)
def _preempt(
    counts: Ints, page_tokens: int, state: Ints, running: Running, cache: Cache, emitted: Ints
) -> None:
    """The sequence admitted last waits again, before all others."""
    last = state[RUNNING] - 1
    _give_back(last, page_tokens, state, running, cache)
    request = running.request[last]
    emitted[request] = running.emitted[last]
    running.returned[state[RETURNED]] = request
    state[RETURNED] += 1
    state[RUNNING] = last
    counts[kernel.PREEMPTED] += 1
    counts[kernel.RECOMPUTED] += running.cached[last]


@njit(**COMPILED)
def _continue(
    limits: Limits, counts: Ints, state: Ints, running: Running, cache: Cache, emitted: Ints
) -> tuple[int, int]:
    """Part 1 of the rule: how many of the running compute, and the budget left for others."""
    num_preempted, budget, place = counts[kernel.PREEMPTED], limits.max_batched_tokens, 0
    while place < state[RUNNING] and budget > 0:
        cached = running.cached[place]
        num_tokens = min(max(running.prompt[place] - cached, 1), budget)
        if cached + num_tokens > running.pages[place] * limits.page_tokens:
            lacking = _pages_of(cached + num_tokens, limits.page_tokens) - running.pages[place]
            while lacking > state[FREE] and place < state[RUNNING]:
                if state[UNUSED] > 0:
                    _evict(min(lacking - state[FREE], state[UNUSED]), state, cache)
                else:
                    _preempt(counts, limits.page_tokens, state, running, cache, emitted)
            if place == state[RUNNING]:
                break
            running.pages[place] += lacking
            state[FREE] -= lacking
        running.slice[place] = num_tokens
        budget -= num_tokens
        place += 1
    return place, budget if counts[kernel.PREEMPTED] == num_preempted else 0


@njit(**COMPILED)
def _start(
    request: int,
    prompt: int,
    most: int,
    num_keys: int,
    budget: int,
    limits: Limits,
    counts: Ints,
    state: Ints,
    running: Running,
    cache: Cache,
) -> bool:
    """Give a waiting request its first pages and a place; False when it must wait."""
    num_hit, num_unused_hit, page_tokens = 0, 0, limits.page_tokens
    while num_hit < num_keys:
        number = _number(request, num_hit, page_tokens, cache)
        if not cache.is_known[number]:
            break
        num_unused_hit += cache.users[number] == 0
        num_hit += 1
    hit_tokens = num_hit * page_tokens
    rest = prompt - hit_tokens
    num_tokens = min(rest, budget)
    held = _pages_of(most if limits.reserves_output else hit_tokens + num_tokens, page_tokens)
    lacking = held - num_hit
    if (rest > budget and not limits.is_chunked) or lacking > state[FREE] + state[UNUSED] - num_unused_hit:
        return False
    for index in range(num_hit):
        _use(_number(request, index, page_tokens, cache), state, cache)
    _evict(max(0, lacking - state[FREE]), state, cache)
    state[FREE] -= lacking
    place = state[RUNNING]
    state[RUNNING] += 1
    running.request[place], running.prompt[place], running.cached[place] = request, prompt, hit_tokens
    running.pages[place], running.shared[place], running.slice[place] = held, num_hit, num_tokens
    counts[kernel.HIT] += hit_tokens
    return True


@njit(**COMPILED)
def _admit(
    now_s: float,
    budget: int,
    asked: Asked,
    limits: Limits,
    columns: Columns,
    counts: Ints,
    state: Ints,
    running: Running,
    cache: Cache,
    emitted: Ints,
) -> int:
    """Part 2 of the rule; the budget left."""
    page_tokens = limits.page_tokens
    while budget > 0 and state[RUNNING] < limits.max_sequences:
        num_returned: int = state[RETURNED]
        request: int = state[HEAD]
        is_returned = num_returned > 0
        if is_returned:
            request = running.returned[num_returned - 1]
        elif request >= len(asked.arrival_s) or asked.arrival_s[request] > now_s:
            break
        prompt = int64(max(asked.input_tokens[request], 1))
        most: int = prompt + max(asked.output_tokens[request], 1) - 1
        if not is_returned and not _can_ever_run(prompt, most, limits):
            columns.fate[request] = kernel.INVALID
            state[HEAD] += 1
            continue
        prompt += emitted[request]
        num_keys = 0
        if limits.has_prefix_cache:
            num_keys = _num_keys(request, asked.input_tokens[request], page_tokens, cache)
        # At least one token is computed.
        num_keys: int = min(num_keys, (prompt - 1) // page_tokens)
        if not _start(request, prompt, most, num_keys, budget, limits, counts, state, running, cache):
            break
        place: int = state[RUNNING] - 1
        running.emitted[place] = emitted[request]
        budget -= running.slice[place]
        if is_returned:
            state[RETURNED] -= 1
        else:
            columns.fate[request] = kernel.SERVED
            state[HEAD] += 1
    return budget


@njit(inline="always")
def _can_ever_run(prompt: int, most: int, limits: Limits) -> bool:
    at_once = prompt if limits.reserves_output else most
    fits_step = limits.is_chunked or at_once <= limits.max_batched_tokens
    return fits_step and _pages_of(most, limits.page_tokens) <= limits.num_pages


@njit(**COMPILED)
def _more_steps(most: int, limits: Limits, state: Ints, running: Running, phases: Ints) -> int:
    """Of `most` further steps in which all decode, those for which there are pages without a preemption."""
    page_tokens, num_running = limits.page_tokens, state[RUNNING]
    available = state[FREE] + state[UNUSED]
    if limits.reserves_output or num_running * (most // page_tokens + 1) <= available:
        return most
    # A sequence with room for j further tokens needs a page in steps j, j + page_tokens and so on.
    for place in range(num_running):
        room = running.pages[place] * page_tokens - running.cached[place] - 1
        phases[room % page_tokens] += 1
    num_steps = 0
    while num_steps < most:
        available -= phases[num_steps % page_tokens]
        if available < 0:
            break
        num_steps += 1
    for place in range(num_running):
        phases[(running.pages[place] * page_tokens - running.cached[place] - 1) % page_tokens] = 0
    return num_steps


@njit(**COMPILED)
def _stretch(
    now_s: float,
    num_tokens: int,
    kv_tokens: int,
    until_s: float,
    asked: Asked,
    seconds: Seconds,
    limits: Limits,
    state: Ints,
    running: Running,
    cache: Cache,
    phases: Ints,
) -> tuple[int, float]:
    """Steps in which all that run decode, from one that has its pages on: how many, and when they end."""
    num_running, page_tokens = state[RUNNING], limits.page_tokens
    most: int = int64(1) << 40
    for place in range(num_running):
        left = max(asked.output_tokens[running.request[place]], 1) - running.emitted[place]
        most = min(most, left)
    more = _more_steps(most - 1, limits, state, running, phases)
    num_steps = 1
    now_s += _step_s(num_tokens, kv_tokens, seconds)
    while num_steps <= more and now_s < until_s:
        now_s += _step_s(num_tokens, kv_tokens + num_steps * num_running, seconds)
        num_steps += 1
    grown = 0
    for place in range(num_running):
        lacking = running.cached[place] + num_steps - running.pages[place] * page_tokens
        if lacking > 0:
            num_pages = _pages_of(lacking, page_tokens)
            running.pages[place] += num_pages
            grown += num_pages
        running.slice[place] = num_steps
    _evict(max(0, grown - state[FREE]), state, cache)
    state[FREE] -= grown
    return num_steps, now_s


@njit(**COMPILED)
def _settle(
    now_s: float,
    num_taken: int,
    num_steps: int,
    asked: Asked,
    limits: Limits,
    columns: Columns,
    state: Ints,
    running: Running,
    cache: Cache,
) -> None:
    """Part 4 of the rule, at the end of the last of these steps."""
    finished = 0
    for place in range(state[RUNNING]):
        request: int = running.request[place]
        if place < num_taken:
            running.cached[place] += running.slice[place]
            if running.cached[place] >= running.prompt[place]:
                if limits.has_prefix_cache:
                    input_tokens = asked.input_tokens[request]
                    num_keys = _num_keys(request, input_tokens, limits.page_tokens, cache)
                    _make_known(place, num_keys, limits.page_tokens, state, running, cache)
                if running.emitted[place] == 0:
                    columns.first_token_s[request] = now_s
                running.emitted[place] += num_steps
                if running.emitted[place] == max(asked.output_tokens[request], 1):
                    columns.finish_s[request] = now_s
                    _give_back(place, limits.page_tokens, state, running, cache)
                    finished += 1
                    continue
        if finished > 0:
            _move(place, place - finished, running)
    state[RUNNING] -= finished


@njit(inline="always")
def _move(place: int, target: int, running: Running) -> None:
    running.request[target] = running.request[place]
    running.prompt[target] = running.prompt[place]
    running.cached[target] = running.cached[place]
    running.pages[target] = running.pages[place]
    running.shared[target] = running.shared[place]
    running.emitted[target] = running.emitted[place]


@njit(**COMPILED)
def replay_pages(
    asked: Asked,
    seconds: Seconds,
    limits: Limits,
    columns: Columns,
    counts: Ints,
    state: Ints,
    running: Running,
    cache: Cache,
    phases: Ints,
    emitted: Ints,
) -> None:
    """Writes `columns` and `counts`; `state` is that of an idle engine, `emitted` [requests] all zeros."""
    now_s = 0.0
    while True:
        if state[RUNNING] == 0 and state[RETURNED] == 0:
            if state[HEAD] == len(asked.arrival_s):
                return
            head: int = state[HEAD]
            now_s = max(now_s, asked.arrival_s[head])
        num_preempted = counts[kernel.PREEMPTED]
        num_taken, budget = _continue(limits, counts, state, running, cache, emitted)
        num_before = state[RUNNING]
        if budget > 0:
            _admit(now_s, budget, asked, limits, columns, counts, state, running, cache, emitted)
            num_taken += state[RUNNING] - num_before
        if num_taken == 0:
            continue
        num_tokens, kv_tokens, is_decoding = 0, 0, num_before == state[RUNNING] == num_taken
        for place in range(num_taken):
            num_tokens += running.slice[place]
            kv_tokens += running.cached[place]
            is_decoding &= running.cached[place] >= running.prompt[place]
        num_steps = 1
        if is_decoding and counts[kernel.PREEMPTED] == num_preempted:
            # What waits already does not fit before somebody finishes.
            until_s = np.inf
            if state[RETURNED] == 0 and state[HEAD] < len(asked.arrival_s):
                head = state[HEAD]
                arrival_s = asked.arrival_s[head]
                until_s = arrival_s if arrival_s > now_s else np.inf
            num_steps, now_s = _stretch(
                now_s, num_tokens, kv_tokens, until_s, asked, seconds, limits, state, running, cache, phases
            )
        else:
            now_s += _step_s(num_tokens, kv_tokens, seconds)
        counts[kernel.STEPS] += num_steps
        counts[kernel.TOKENS] += num_steps * num_tokens
        counts[kernel.PEAK_PAGES] = max(
            counts[kernel.PEAK_PAGES], limits.num_pages - state[FREE] - state[UNUSED]
        )
        counts[kernel.PEAK_SEQUENCES] = max(counts[kernel.PEAK_SEQUENCES], state[RUNNING])
        _settle(now_s, num_taken, num_steps, asked, limits, columns, state, running, cache)
