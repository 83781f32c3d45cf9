"""Hit rates of a batch of prompts that all wait at once, by the order in which they are served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduling.generation import GenerationScheduler
from scheduling.queueing import ORDERS
from scheduling.waiting import MakeWaiting
from scheduling.waiting_by_prefix import LongestPrefixFirst
from scheduling.waiting_policies import WaitingLines
from simulator.traffic.shared_prompts import SharedPrompts
from vocabulary.deployment import Policy
from vocabulary.generation import GenerationLimits, Prefix
from vocabulary.request import Request

# The last is longest_prefix however many wait; the policy sorts no more than 128.
QUEUES = ("fcfs", "longest_prefix", "depth_first", "longest_prefix_of_all")
EVICTIONS = ("lru", "cost")
# So many may be served before an older one: the order alone is measured.
_WITHOUT_BOUND = 2**31


@dataclass(frozen=True, slots=True)
class Batch:
    """hit_tokens: found in the cache; num_steps: of the engine."""

    hit_tokens: int
    num_steps: int


def requests_of(prompts: SharedPrompts) -> list[Request]:
    """In their order, all there at once."""
    tokens = prompts.tokens
    assert tokens.prefix_offsets is not None
    assert tokens.prefix_hashes is not None
    blocks = np.split(tokens.prefix_hashes, tokens.prefix_offsets[1:-1])
    return [
        Request(
            index,
            "m",
            0.0,
            input_tokens=int(tokens.input_tokens[index]),
            output_tokens=int(tokens.output_tokens[index]),
            prefix=Prefix(tuple(hashes.tolist()), tokens.block_tokens),
        )
        for index, hashes in enumerate(blocks)
    ]


def longest_pages(prompts: SharedPrompts) -> int:
    """Pages of the longest request: with one token of an answer, those of its prompt."""
    return -(-int(prompts.tokens.input_tokens.max()) // prompts.tokens.block_tokens)


def serve(
    prompts: SharedPrompts, *, queue: str, num_pages: int, eviction: str = "lru", max_sequences: int = 1
) -> Batch:
    """Every prompt served once. With one sequence at a time, every prompt may find those before it."""
    limits = GenerationLimits(
        num_pages,
        page_tokens=prompts.tokens.block_tokens,
        max_batched_tokens=2048,
        max_sequences=max_sequences,
        has_prefix_cache=True,
        eviction=eviction,
    )
    scheduler = GenerationScheduler(limits, order=ORDERS["fcfs"], waiting=_line(queue, limits))
    for request in requests_of(prompts):
        assert scheduler.can_ever_run(request), (request.input_tokens, num_pages)
        scheduler.push(request)
    while (step := scheduler.next_step()) is not None:
        scheduler.finish(step)
    assert not scheduler.num_waiting, scheduler.num_waiting
    return Batch(scheduler.statistics.num_hit, scheduler.statistics.num_steps)


def _line(queue: str, limits: GenerationLimits) -> MakeWaiting | None:
    if queue == "longest_prefix_of_all":
        return lambda matched: LongestPrefixFirst(
            matched, max_sorted=_WITHOUT_BOUND, max_overtaken=_WITHOUT_BOUND
        )
    policy = Policy(queue=queue, max_overtaken=_WITHOUT_BOUND)
    return None if queue == "fcfs" else WaitingLines(policy).of_model((), limits)
