"""An open-loop client: sends every request of a trace at its time, whatever became of those before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from statmux.client import AsyncClient, ClientError, DeadlineExceeded, Rejected, Unavailable
from statmux.recording import Timings
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.request import Fate
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S

# How often `progress` hears.
_PROGRESS_S = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. `inputs` and `slo_s` (None: no objective) are by model; a request waits `timeout_s`.

    slo_scale multiplies every objective, at the endpoint and in the count; None leaves the endpoint's own.
    """

    trace: Trace
    inputs: Mapping[str, Mapping[str, object]]
    slo_s: Mapping[str, float | None]
    timeout_s: float = 60.0
    slo_scale: float | None = None


@dataclass(slots=True)
class _Columns:
    """Outcomes in the making; times are seconds since the replay began."""

    group_index: np.ndarray
    finish_s: np.ndarray
    fate: np.ndarray
    good: np.ndarray
    queue_s: np.ndarray
    execute_s: np.ndarray
    num_answered: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replayed:
    """outcomes: latencies count from when a request was due, so a client that runs late makes them longer.

    timings: what the fleet said of each request; max_lag_s: the latest that this client sent a request;
    errors: how often each unexpected message came.
    """

    outcomes: Outcomes
    timings: Timings
    duration_s: float
    max_lag_s: float
    errors: Mapping[str, int]


async def replay(
    address: str, load: Load, *, groups: Sequence[str], progress: Callable[[int, int], None]
) -> Replayed:
    """Replay the trace against `address`. `groups` are the group ids of the plan, for the outcomes.

    Raises Unreachable when nobody answers at the address.
    """
    columns = _columns(len(load.trace))
    group_index = {name: index for index, name in enumerate(groups)}
    max_lag_s = 0.0
    async with AsyncClient(address) as client, asyncio.TaskGroup() as tasks:
        ticker = tasks.create_task(_tick(columns, len(load.trace), progress))
        origin_s = time.monotonic() - float(load.trace.arrival_s[0]) + 0.05
        sent = []
        for row, due_s in enumerate(load.trace.arrival_s.tolist()):
            await _sleep_until(origin_s + due_s)
            max_lag_s = max(max_lag_s, time.monotonic() - origin_s - due_s)
            sent.append(tasks.create_task(_one(client, load, row, origin_s, columns, group_index)))
        await asyncio.gather(*sent)
        ticker.cancel()
    duration_s = time.monotonic() - origin_s - float(load.trace.arrival_s[0])
    outcomes = Outcomes(load.trace, columns.group_index, columns.finish_s, columns.fate, columns.good)
    timings = Timings(columns.queue_s, columns.execute_s)
    return Replayed(outcomes, timings, duration_s, max_lag_s, columns.errors)


async def _one(
    client: AsyncClient,
    load: Load,
    row: int,
    origin_s: float,
    columns: _Columns,
    group_index: Mapping[str, int],
) -> None:
    model = load.trace.models[load.trace.model_index[row]]
    slo_s = load.slo_s[model]
    if slo_s is not None and load.slo_scale is not None:
        slo_s *= load.slo_scale
    asked_ms = slo_s * 1e3 if slo_s is not None and load.slo_scale is not None else None
    fate = Fate.SERVED
    try:
        result = await client.infer(model, load.inputs[model], timeout_s=load.timeout_s, slo_ms=asked_ms)
        columns.group_index[row] = group_index.get(result.group, NO_GROUP)
        columns.queue_s[row] = np.nan if result.queue_s is None else result.queue_s
        columns.execute_s[row] = np.nan if result.execute_s is None else result.execute_s
    except ClientError as error:
        fate = _fate(error)
        if fate is Fate.FAILED:
            columns.errors[str(error)] = columns.errors.get(str(error), 0) + 1
    finish_s = time.monotonic() - origin_s
    latency_s = finish_s - load.trace.arrival_s[row]
    columns.finish_s[row] = finish_s
    columns.fate[row] = FATE_CODE[fate]
    columns.good[row] = fate is Fate.SERVED and (slo_s is None or latency_s <= slo_s + TIME_TOLERANCE_S)
    columns.num_answered += 1


def _fate(error: ClientError) -> Fate:
    match error:
        case Rejected():
            return Fate.QUEUE_FULL if error.reason == "QUEUE_FULL" else Fate.SLO_INFEASIBLE
        case DeadlineExceeded():
            return Fate.DEADLINE_EXCEEDED
        case Unavailable():
            return Fate.NOT_PLACED if error.reason == "NOT_PLACED" else Fate.UNAVAILABLE
        case _:
            return Fate.FAILED


async def _sleep_until(time_s: float) -> None:
    """Also lets answers be read when the time has passed already."""
    await asyncio.sleep(max(0.0, time_s - time.monotonic()))


async def _tick(columns: _Columns, num_requests: int, progress: Callable[[int, int], None]) -> None:
    while True:
        progress(columns.num_answered, num_requests)
        await asyncio.sleep(_PROGRESS_S)


def _columns(num_requests: int) -> _Columns:
    return _Columns(
        np.full(num_requests, NO_GROUP, dtype=np.int32),
        np.zeros(num_requests),
        np.full(num_requests, FATE_CODE[Fate.FAILED], dtype=np.int8),
        np.zeros(num_requests, dtype=bool),
        np.full(num_requests, np.nan),
        np.full(num_requests, np.nan),
    )
