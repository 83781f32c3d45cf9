"""Schedulers of generation and their steps, in a few words."""

from __future__ import annotations

from scheduling.generation import GenerationScheduler
from scheduling.generation_sequence import Progress, Step
from scheduling.queueing import ORDERS
from vocabulary.generation import GenerationLimits
from vocabulary.request import Request


def scheduler_of(
    *requests: Request, order: str = "fcfs", num_stages: int = 1, waiting=None, **limits
) -> GenerationScheduler:
    found = {"num_pages": 100, "page_tokens": 4, "max_batched_tokens": 16, "max_sequences": 4, **limits}
    scheduler = GenerationScheduler(
        GenerationLimits(**found), order=ORDERS[order], num_stages=num_stages, waiting=waiting
    )
    for request in requests:
        scheduler.push(request)
    return scheduler


def asked(request_id: int, input_tokens: int, output_tokens: int, **fields) -> Request:
    return Request(request_id, "m", 0.0, input_tokens=input_tokens, output_tokens=output_tokens, **fields)


def slices(step: Step | None) -> list[tuple[int, int]]:
    assert step is not None
    return [(one.request.id, num) for one, num in zip(step.sequences, step.slices, strict=True)]


def run(scheduler: GenerationScheduler) -> list[list[tuple[int, int]]]:
    """All steps until nothing is left."""
    steps = []
    while (step := scheduler.next_step()) is not None:
        steps.append(slices(step))
        scheduler.finish(step)
    return steps


def turn(scheduler: GenerationScheduler, **heard) -> tuple[Step, Progress]:
    """The next step, which ends at once."""
    step = scheduler.next_step()
    assert step is not None
    return step, scheduler.finish(step, **heard)
