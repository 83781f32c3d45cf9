"""How many waiting requests run together when the first stage frees."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec

from scheduling.pipeline import PipelineClock
from scheduling.queueing import Queue
from vocabulary.catalog import BatchCosts
from vocabulary.request import Request


class Situation(msgspec.Struct, frozen=True):
    """What a batching function may look at. `queue` holds the head's model only; it is not empty."""

    now_s: float
    queue: Queue
    costs: BatchCosts
    clock: PipelineClock
    fixed_overhead_s: float
    max_batch_size: int


BatchSize = Callable[[Situation], int]


def one_at_a_time(situation: Situation) -> int:
    return 1


def keep_the_deadline(situation: Situation) -> int:
    """The largest batch whose finish still meets the earliest due time in it; 1 when even that is late.

    After AlpaServe's dynamic batching, but all members' deadlines are kept, not the head's only; nobody waits
    for a fuller batch.
    """
    limit = min(len(situation.queue), situation.max_batch_size, situation.costs.max_batch_size)
    members = list(islice(situation.queue.waiting(), limit))
    return next((size for size in range(limit, 1, -1) if _in_time(situation, members[:size])), 1)


def _in_time(situation: Situation, members: list[Request]) -> bool:
    stages_s = situation.costs.of(len(members))
    finish_s = situation.clock.finish_s(situation.now_s, stages_s) + situation.fixed_overhead_s
    return all(request.is_in_time(finish_s) for request in members)


BATCHING: dict[str, BatchSize] = {"none": one_at_a_time, "deadline": keep_the_deadline}
