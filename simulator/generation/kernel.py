"""Plain continuous batching, compiled: from admission to finish in one jump.

For an engine that reserves the pages of the whole answer, so that nothing is ever preempted, and shares no
prefixes. Then the running sequences are a number, their cached tokens another, and between two admissions or
finishes step j of a batch of B lasts a + b B + c (KV + j B): the end of k steps has a closed form. At most
one prompt is computed in part, and it is the one admitted last. Importing this file imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import int64, njit
from numpy.typing import NDArray

from vocabulary.outcomes import FATE_CODE
from vocabulary.request import Fate

SERVED, INVALID = FATE_CODE[Fate.SERVED], FATE_CODE[Fate.INVALID]
NOBODY = -1
# A heap holds (step << _ID_BITS) | request.
_ID_BITS = 30
MAX_REQUESTS = 1 << _ID_BITS
LOG_LENGTH = 1024
# Counting references to arrays took more time than the simulation: nothing is allocated in compiled code.
COMPILED = {"cache": True, "nogil": True, "_nrt": False}
# Places in `counts`.
STEPS, TOKENS, PREEMPTED, RECOMPUTED, HIT, PEAK_PAGES, PEAK_SEQUENCES, NUM_COUNTS = range(8)


Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Asked(NamedTuple):
    """Columns [requests], in order of arrival."""

    arrival_s: NDArray[np.float64]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]


class Seconds(NamedTuple):
    """The fields of `StepTimes`."""

    constant_s: float
    token_s: float
    kv_token_s: float


class Limits(NamedTuple):
    """The fields of `GenerationLimits`."""

    num_pages: int
    page_tokens: int
    max_batched_tokens: int
    max_sequences: int
    is_chunked: bool
    reserves_output: bool
    has_prefix_cache: bool


class Columns(NamedTuple):
    """What becomes of every request [requests]; times are written where it is served."""

    first_token_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    fate: NDArray[np.int8]


@njit(inline="always")
def _admit(
    head: int,
    now_s: float,
    num_running: int,
    budget: int,
    num_held: int,
    partial: int,
    rest: int,
    asked: Asked,
    limits: Limits,
    fate: NDArray[np.int8],
) -> tuple[int, int, int, int, int, int]:
    """As many waiting requests as fit, in order. Those that could never run are refused on the way."""
    arrival_s, input_tokens, output_tokens = asked
    num_pages, page_tokens, max_batched_tokens, max_sequences, is_chunked, _, _ = limits
    while budget > 0 and num_running < max_sequences and head < len(arrival_s) and arrival_s[head] <= now_s:
        prompt, answer = max(input_tokens[head], 1), max(output_tokens[head], 1)
        num_new = (int64(prompt) + answer - 2) // page_tokens + 1
        if num_new > num_pages or not (is_chunked or prompt <= max_batched_tokens):
            fate[head] = INVALID
        elif num_held + num_new > num_pages or not (is_chunked or prompt <= budget):
            break
        else:
            fate[head] = SERVED
            num_held += num_new
            num_running += 1
            if prompt > budget:
                partial, rest = head, prompt - budget
                budget = 0
            else:
                budget -= prompt
        head += 1
    return head, num_running, budget, num_held, partial, rest


@njit(inline="always")
def _step_s(num_tokens: int, kv_tokens: int, seconds: Seconds) -> float:
    constant_s, token_s, kv_token_s = seconds
    return constant_s + token_s * num_tokens + kv_token_s * kv_tokens


@njit(inline="always")
def _end_s(now_s: float, num_steps: int, first_s: float, growth_s: float) -> float:
    """Of steps that last first_s, first_s + growth_s, first_s + 2 growth_s and so on."""
    return now_s + (num_steps * first_s + growth_s * (num_steps * (num_steps - 1) // 2))


@njit(inline="always")
def _jump(
    now_s: float, num_sequences: int, kv_tokens: int, max_steps: int, until_s: float, seconds: Seconds
) -> tuple[int, float]:
    """Decoding steps until the first that ends at `until_s` or later: how many, and when it ends."""
    first_s = _step_s(num_sequences, kv_tokens, seconds)
    growth_s = seconds.kv_token_s * num_sequences
    end_s = _end_s(now_s, max_steps, first_s, growth_s)
    if end_s < until_s:
        return max_steps, end_s
    # The positive root of growth/2 k^2 + (first - growth/2) k = until - now, then the step it lies in.
    linear_s, left_s = first_s - growth_s / 2, until_s - now_s
    if max_steps == 1 or left_s <= 0:
        return 1, _end_s(now_s, 1, first_s, growth_s)
    root = 2 * left_s / (linear_s + np.sqrt(linear_s * linear_s + 2 * growth_s * left_s))
    num_steps = min(max(int64(np.ceil(root)), 1), max_steps)
    while num_steps > 1 and _end_s(now_s, num_steps - 1, first_s, growth_s) >= until_s:
        num_steps -= 1
    while _end_s(now_s, num_steps, first_s, growth_s) < until_s:
        num_steps += 1
    return num_steps, _end_s(now_s, num_steps, first_s, growth_s)


@njit(inline="always")
def _add_up(since_s: float, num_logged: int, log: Ints, seconds: Seconds) -> float:
    """The logged steps added to a time one by one, as the machines do."""
    for entry in range(num_logged):
        num_steps, num_tokens, kv_tokens = log[entry, 0], log[entry, 1], log[entry, 2]
        for step in range(num_steps):
            since_s += _step_s(num_tokens, kv_tokens + step * num_tokens, seconds)
    return since_s


@njit(inline="always")
def _push(heap: Ints, length: int, key: int) -> None:
    place = length
    while place > 0 and heap[(place - 1) >> 1] > key:
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = key


@njit(inline="always")
def _pop(heap: Ints, length: int) -> None:
    """Forget the least of `length` keys."""
    key, place, child = heap[length - 1], 0, 1
    while child < length - 1:
        if child + 1 < length - 1 and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= key:
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = key


@njit(inline="always")
def _doubt_s(now_s: float, num_steps: int, num_logged: int) -> float:
    """How far a time can be from the steps added up: half a unit in the last place a step, some a jump."""
    return (num_steps + 4 * num_logged + 16) * 2.0**-52 * now_s


@njit(inline="always")
def _made_sure(
    now_s: float,
    steps: int,
    next_arrival: int,
    num_logged: int,
    log: Ints,
    exact_s: float,
    exact_step: int,
    arrival_s: Floats,
    seconds: Seconds,
    tolerance_s: float,
) -> tuple[float, int, int, float, int]:
    """`now_s` as it is, or added up from the last exact time where the difference could matter."""
    doubt_s = _doubt_s(now_s, steps - exact_step, num_logged)
    while next_arrival < len(arrival_s) and arrival_s[next_arrival] < now_s - doubt_s:
        next_arrival += 1
    is_open = next_arrival < len(arrival_s) and arrival_s[next_arrival] <= now_s + doubt_s
    if is_open or doubt_s > tolerance_s or num_logged == LOG_LENGTH:
        now_s = _add_up(exact_s, num_logged, log, seconds)
        num_logged, exact_s, exact_step = 0, now_s, steps
    return now_s, next_arrival, num_logged, exact_s, exact_step


@njit(inline="always")
def _emit_first(
    begin: int,
    head: int,
    partial: int,
    now_s: float,
    steps: int,
    num_decoding: int,
    kv_tokens: int,
    finishing: Ints,
    asked: Asked,
    columns: Columns,
) -> tuple[int, int]:
    """Those admitted in this step, and the one that was computed in part, unless it still is."""
    for request in range(begin, head):
        if columns.fate[request] == SERVED and request != partial:
            columns.first_token_s[request] = now_s
            last = steps + max(asked.output_tokens[request], 1) - 1
            _push(finishing, num_decoding, (last << _ID_BITS) | request)
            num_decoding += 1
            kv_tokens += max(asked.input_tokens[request], 1)
    return num_decoding, kv_tokens


@njit(inline="always")
def _finish(
    now_s: float,
    steps: int,
    num_decoding: int,
    kv_tokens: int,
    num_held: int,
    page_tokens: int,
    finishing: Ints,
    asked: Asked,
    columns: Columns,
) -> tuple[int, int, int]:
    """Those whose last token came with this step leave."""
    while num_decoding > 0 and finishing[0] >> _ID_BITS == steps:
        request: int = finishing[0] & (MAX_REQUESTS - 1)
        columns.finish_s[request] = now_s
        most: int = int64(max(asked.input_tokens[request], 1)) + max(asked.output_tokens[request], 1) - 1
        kv_tokens -= most
        num_held -= (most - 1) // page_tokens + 1
        _pop(finishing, num_decoding)
        num_decoding -= 1
    return num_decoding, kv_tokens, num_held


@njit(**COMPILED)
def replay_plain(
    asked: Asked, seconds: Seconds, limits: Limits, columns: Columns, counts: Ints, tolerance_s: float,
    finishing: Ints, log: Ints,
) -> None:  # fmt: skip
    """Writes `columns` and `counts`. Needs max_sequences <= max_batched_tokens, so that all decode at once.

    Times are within tolerance_s of steps added one by one, with 0 equal to the last bit. What is decided is
    equal in any case: where rounding leaves open which arrivals a step sees, its time is added up.

    finishing: int64 [max_sequences + 1], room for the decoding sequences, by the step that ends them.
    log: int64 [LOG_LENGTH, 3], for the steps since a time that is exact: how many, tokens of each, cached
    tokens at the first.
    """
    arrival_s, input_tokens = asked.arrival_s, asked.input_tokens
    num_requests, page_tokens, budget_of_step = len(arrival_s), limits.page_tokens, limits.max_batched_tokens
    num_decoding, kv_tokens, num_held, steps, head, now_s = 0, 0, 0, 0, 0, 0.0
    partial, rest = NOBODY, 0
    num_logged, exact_s, exact_step, next_arrival = 0, 0.0, 0, 0
    while True:
        if num_decoding == 0 and partial == NOBODY:
            if head == num_requests:
                return
            if arrival_s[head] > now_s:
                now_s = exact_s = arrival_s[head]
                num_logged, exact_step = 0, steps
        begin, num_attended = head, kv_tokens
        num_running, budget = num_decoding, budget_of_step - num_decoding
        if partial != NOBODY:
            begin, num_running = partial, num_running + 1
            num_attended += max(input_tokens[partial], 1) - rest
            num_tokens = min(rest, budget)
            rest, budget = rest - num_tokens, budget - num_tokens
            partial = partial if rest else NOBODY
        head, num_running, budget, num_held, partial, rest = _admit(
            head, now_s, num_running, budget, num_held, partial, rest, asked, limits, columns.fate
        )
        num_tokens = budget_of_step - budget
        if num_tokens == 0:
            continue
        counts[PEAK_PAGES] = max(counts[PEAK_PAGES], num_held)
        counts[PEAK_SEQUENCES] = max(counts[PEAK_SEQUENCES], num_running)
        num_steps, until_s = 1, np.inf
        if num_tokens == num_decoding:
            num_steps = (finishing[0] >> _ID_BITS) - steps
            # What waits already does not fit before somebody finishes.
            if head < num_requests and arrival_s[head] > now_s:
                num_new = steps + num_steps - exact_step
                until_s = arrival_s[head] - _doubt_s(arrival_s[head], num_new, num_logged + 1)
        num_steps, now_s = _jump(now_s, num_tokens, num_attended, num_steps, until_s, seconds)
        log[num_logged, 0], log[num_logged, 1], log[num_logged, 2] = num_steps, num_tokens, num_attended
        steps += num_steps
        counts[TOKENS] += num_steps * num_tokens
        kv_tokens += num_steps * num_decoding
        now_s, next_arrival, num_logged, exact_s, exact_step = _made_sure(
            now_s, steps, next_arrival, num_logged + 1, log, exact_s, exact_step, arrival_s, seconds,
            tolerance_s,
        )  # fmt: skip
        num_decoding, kv_tokens = _emit_first(
            begin, head, partial, now_s, steps, num_decoding, kv_tokens, finishing, asked, columns
        )
        num_decoding, kv_tokens, num_held = _finish(
            now_s, steps, num_decoding, kv_tokens, num_held, page_tokens, finishing, asked, columns
        )
        counts[STEPS] = steps
