"""The fixed overhead of a fleet: what a request takes beyond its stages, alone or in traffic."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statmux.calls import PreparedCalls
from statmux.client import ClientError
from statmux.client.channels import DEFAULT_TIMEOUT_S, Tls
from statmux.client.operations import InferResult
from statmux.recording import Timings
from vocabulary.catalog import Catalog
from vocabulary.errors import InvalidInput
from vocabulary.outcomes import Outcomes
from vocabulary.placement import Placement

# The first requests open connections and fill caches.
_NUM_WARM = 5
# Without a pause client and server are still awake from the request before, and faster than in traffic.
_PAUSE_S = 0.03


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds beyond the profile, over all requests: the median is the overhead, the quartiles its spread."""

    fixed_overhead_s: float
    lower_quartile_s: float
    upper_quartile_s: float
    num_requests: int


def observed_overhead(outcomes: Outcomes, timings: Timings) -> Calibration | None:
    """What the requests of a run took beyond queue and stages; None where the fleet told of fewer than two.

    How long a request is on its way to a group shows in the queue of those that found theirs idle.
    """
    rows = np.flatnonzero(outcomes.served & ~np.isnan(timings.execute_s))
    if len(rows) < 2:
        return None
    beyond_s = (outcomes.latency_s - timings.queue_s - timings.execute_s)[rows]
    idle = rows[_found_idle(outcomes, timings, rows)]
    dispatch_s = float(np.median(timings.queue_s[idle])) if len(idle) else 0.0
    return _calibration((beyond_s + dispatch_s).tolist())


def _found_idle(outcomes: Outcomes, timings: Timings, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of `rows`: whether all that its group began before had ended when the request came."""
    arrival_s = outcomes.trace.arrival_s[rows]
    start_s = arrival_s + timings.queue_s[rows]
    finish_s = start_s + timings.execute_s[rows]
    found = np.zeros(len(rows), dtype=bool)
    for group_index in np.unique(outcomes.group_index[rows]):
        mine = np.flatnonzero(outcomes.group_index[rows] == group_index)
        mine = mine[np.argsort(start_s[mine], kind="stable")]
        free_s = np.concatenate([[-np.inf], np.maximum.accumulate(finish_s[mine])[:-1]])
        found[mine] = arrival_s[mine] >= free_s
    return found


def _calibration(beyond_s: Sequence[float]) -> Calibration:
    lower, middle, upper = statistics.quantiles(beyond_s, n=4)
    return Calibration(middle, lower, upper, len(beyond_s))


async def calibrate(
    address: str,
    inputs: Mapping[str, Mapping[str, object]],
    *,
    placement: Placement,
    catalog: Catalog,
    num_requests: int,
    token: str | None = None,
    tls: Tls | None = None,
) -> Calibration:
    """One request at a time, models in turn, each compared with the profile of the group that answered.

    Raises InvalidInput for fewer than two requests, or where no model is placed.
    """
    if num_requests < 2:
        raise InvalidInput(
            "one request has no spread", hint="calibrate with 2 requests or more; 100 are good"
        )
    beyond_s = []
    async with PreparedCalls(address, inputs, token=token, tls=tls) as calls:
        names = [name for name in inputs if placement.holders(name)]
        if not names:
            raise InvalidInput(
                "the plan places none of the models", hint="calibrate against the plan that runs"
            )
        for number in range(_NUM_WARM + num_requests):
            name = names[number % len(names)]
            groups = {
                placement.groups[index].id: placement.groups[index] for index in placement.holders(name)
            }
            latency_s, result = await _lone(calls, name)
            group = groups.get(result.group) or next(iter(groups.values()))
            if number >= _NUM_WARM:
                beyond_s.append(latency_s - sum(catalog.costs(name, group.config).single))
    return _calibration(beyond_s)


async def _lone(calls: PreparedCalls, model: str) -> tuple[float, InferResult]:
    """Seconds and result of one request, sent as `replay` does: out of a sleep, counted from when due."""
    ends_s: list[float] = []
    due_s = time.monotonic() + _PAUSE_S
    await asyncio.sleep(_PAUSE_S)
    answer = await calls.answer(calls.send(model, timeout_s=DEFAULT_TIMEOUT_S, ended=ends_s.append))
    if isinstance(answer, ClientError):
        raise answer
    return ends_s[0] - due_s, answer
