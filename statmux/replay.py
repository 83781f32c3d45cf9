"""An open-loop client: sends every request of a trace at its time, whatever became of those before."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import final

import numpy as np
from grpc import aio
from numpy.typing import NDArray

from statmux.calls import PreparedCalls
from statmux.client import ClientError, DeadlineExceeded, Rejected, Unavailable
from statmux.client.channels import Tls
from statmux.recording import Timings
from statmux.token_calls import TokenAsk, TokenCalls, prompts_of
from vocabulary.deployment import Slo
from vocabulary.outcomes import FATE_CODE, NO_GROUP, Outcomes
from vocabulary.request import Fate
from vocabulary.token_outcomes import keeps_tpot, keeps_ttft
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S

# How often `progress` hears.
_PROGRESS_S = 1.0
# Answers are read where no request is due for so long, so that reading makes none late; but not more than so
# many are kept.
_QUIET_S = 0.002
_MAX_UNREAD = 2000


@dataclass(frozen=True, slots=True)
class Load:
    """What to send. `inputs` and `slos` are by model; a request waits `timeout_s`.

    Rows that ask for tokens of one of the `generating` models are answered token by token, all others with
    the model's input. slo_scale multiplies every objective, at the endpoint and in the count; None leaves the
    endpoint's own.
    """

    trace: Trace
    inputs: Mapping[str, Mapping[str, object]]
    slos: Mapping[str, Slo]
    timeout_s: float = 60.0
    generating: frozenset[str] = frozenset()
    slo_scale: float | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """outcomes: latencies count from when a request was due, so a client that runs late makes them longer.

    timings: what the fleet said of each request, and how late it was sent; errors: how often each unexpected
    message came.
    """

    outcomes: Outcomes
    timings: Timings
    duration_s: float
    errors: Mapping[str, int]

    @property
    def max_lag_s(self) -> float:
        return float(np.max(self.timings.lag_s, initial=0.0))


async def replay(
    address: str,
    load: Load,
    *,
    groups: Sequence[str],
    progress: Callable[[int, int], None],
    token: str | None = None,
    tls: Tls | None = None,
) -> Replayed:
    """Replay the trace against `address`. `groups` are the group ids of the plan, for the outcomes."""
    one_shot = PreparedCalls(address, load.inputs, token=token, tls=tls)
    generating = TokenCalls(address, token=token, tls=tls)
    async with one_shot as calls, generating as token_calls:
        with _without_collections():
            return await _Replay(calls, token_calls, load, groups, progress).run()


@final
class _Replay:
    """Columns of the outcomes in the making; times are seconds since the replay began."""

    def __init__(
        self,
        calls: PreparedCalls,
        token_calls: TokenCalls,
        load: Load,
        groups: Sequence[str],
        progress: Callable[[int, int], None],
    ) -> None:
        self._calls = calls
        self._token_calls = token_calls
        self._load = load
        self._progress = progress
        self._group_index = {name: index for index, name in enumerate(groups)}
        scale = 1.0 if load.slo_scale is None else load.slo_scale
        self._slos = [load.slos[name].scaled(scale) for name in load.trace.models]
        num = len(load.trace)
        self._asks_tokens = _asks_tokens(load)
        self._prompts = (
            prompts_of(load.trace.tokens) if load.trace.tokens is not None and self._asks_tokens.any() else ()
        )
        self._outcomes = Outcomes(
            load.trace,
            np.full(num, NO_GROUP, dtype=np.int32),
            np.zeros(num),
            np.full(num, FATE_CODE[Fate.FAILED], dtype=np.int8),
            np.zeros(num, dtype=bool),
            np.full(num, np.nan) if self._asks_tokens.any() else None,
            tuple(self._slos),
        )
        self._timings = Timings(np.full(num, np.nan), np.full(num, np.nan), np.zeros(num))
        self._errors: dict[str, int] = {}
        self._unread: deque[tuple[int, aio.UnaryUnaryCall]] = deque()
        self._calls_by_row: dict[int, aio.UnaryUnaryCall] = {}
        self._num_ended = 0
        self._all_ended = asyncio.Event()

    async def run(self) -> Replayed:
        trace = self._load.trace
        first_s = float(trace.arrival_s[0]) if len(trace) else 0.0
        self._origin_s = time.monotonic() - first_s + 0.05
        async with asyncio.TaskGroup() as tasks:
            ticker = tasks.create_task(self._tick())
            for row, due_s in enumerate(trace.arrival_s.tolist()):
                await self._wait_until(self._origin_s + due_s)
                if self._asks_tokens[row]:
                    tasks.create_task(self._generate(row, due_s))
                else:
                    self._send(row, due_s)
            if len(trace):
                await self._all_ended.wait()
            ticker.cancel()
        duration_s = time.monotonic() - self._origin_s - first_s
        while self._unread:
            await self._read(*self._unread.popleft())
        return Replayed(_judged(self._outcomes), self._timings, duration_s, self._errors)

    def _send(self, row: int, due_s: float) -> None:
        load = self._load
        index = load.trace.model_index[row]
        lag_s = time.monotonic() - self._origin_s - due_s
        self._timings.lag_s[row] = lag_s
        left_s = self._left_s(self._slos[index].latency_s, lag_s)
        self._calls_by_row[row] = self._calls.send(
            load.trace.models[index],
            timeout_s=load.timeout_s,
            slo_s=left_s,
            ended=partial(self._end, row),
        )

    def _left_s(self, slo_s: float | None, lag_s: float) -> float | None:
        """What to ask for of an objective that counts from when the request was due; None for nothing."""
        return None if slo_s is None or self._load.slo_scale is None else max(slo_s - lag_s, 1e-6)

    async def _generate(self, row: int, due_s: float) -> None:
        load, outcomes = self._load, self._outcomes
        trace = load.trace
        assert trace.tokens is not None and outcomes.first_token_s is not None
        lag_s = self._timings.lag_s[row] = time.monotonic() - self._origin_s - due_s
        slo = self._slos[trace.model_index[row]]
        answer = await self._token_calls.answer(
            TokenAsk(
                trace.models[trace.model_index[row]],
                self._prompts[row],
                int(trace.tokens.output_tokens[row]),
                load.timeout_s,
                self._left_s(slo.latency_s, lag_s),
                self._left_s(slo.ttft_s, lag_s),
                None if load.slo_scale is None else slo.tpot_s,
                "" if trace.tenants is None else trace.tenants.names[trace.tenants.index[row]],
            )
        )
        outcomes.finish_s[row] = answer.finish_s - self._origin_s
        outcomes.first_token_s[row] = answer.first_token_s - self._origin_s
        outcomes.group_index[row] = self._group_index.get(answer.group, NO_GROUP)
        self._timings.queue_s[row] = np.nan if answer.queue_s is None else answer.queue_s
        self._settle(row, Fate.SERVED if answer.error is None else self._fate_of(answer.error))
        self._count_end()

    def _end(self, row: int, time_s: float) -> None:
        self._outcomes.finish_s[row] = time_s - self._origin_s
        self._unread.append((row, self._calls_by_row.pop(row)))
        self._count_end()

    def _count_end(self) -> None:
        self._num_ended += 1
        if self._num_ended == len(self._load.trace):
            self._all_ended.set()

    async def _wait_until(self, time_s: float) -> None:
        """Answers are read meanwhile; also lets them come in when the time has passed already."""
        while self._unread and (time_s - time.monotonic() > _QUIET_S or len(self._unread) > _MAX_UNREAD):
            await self._read(*self._unread.popleft())
        await asyncio.sleep(max(0.0, time_s - time.monotonic()))

    async def _read(self, row: int, call: aio.UnaryUnaryCall) -> None:
        outcomes, timings = self._outcomes, self._timings
        answer = await self._calls.answer(call)
        if isinstance(answer, ClientError):
            fate = self._fate_of(answer)
        else:
            fate = Fate.SERVED
            outcomes.group_index[row] = self._group_index.get(answer.group, NO_GROUP)
            timings.queue_s[row] = np.nan if answer.queue_s is None else answer.queue_s
            timings.execute_s[row] = np.nan if answer.execute_s is None else answer.execute_s
        self._settle(row, fate)

    def _fate_of(self, error: ClientError) -> Fate:
        fate = _fate(error)
        if fate is Fate.FAILED:
            self._errors[str(error)] = self._errors.get(str(error), 0) + 1
        return fate

    def _settle(self, row: int, fate: Fate) -> None:
        outcomes = self._outcomes
        slo_s = self._slos[outcomes.trace.model_index[row]].latency_s
        latency_s = outcomes.finish_s[row] - outcomes.trace.arrival_s[row]
        in_time = slo_s is None or latency_s <= slo_s + TIME_TOLERANCE_S
        outcomes.fate[row] = FATE_CODE[fate]
        outcomes.good[row] = fate is Fate.SERVED and in_time

    async def _tick(self) -> None:
        while True:
            self._progress(self._num_ended, len(self._load.trace))
            await asyncio.sleep(_PROGRESS_S)


def _asks_tokens(load: Load) -> NDArray[np.bool_]:
    """Which rows are answered token by token [requests]."""
    trace = load.trace
    if trace.tokens is None:
        return np.zeros(len(trace), dtype=bool)
    generates = np.array([name in load.generating for name in trace.models], dtype=bool)
    return generates[trace.model_index] & (trace.tokens.output_tokens > 0)


def _judged(outcomes: Outcomes) -> Outcomes:
    """Good are those that kept the objectives of their tokens, too."""
    if outcomes.first_token_s is None:
        return outcomes
    return replace(outcomes, good=outcomes.good & keeps_ttft(outcomes) & keeps_tpot(outcomes))


@contextmanager
def _without_collections() -> Iterator[None]:
    """A collection of garbage would make requests late that are due meanwhile."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


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
