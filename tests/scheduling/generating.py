"""Schedulers of generation and their steps, in a few words."""

from __future__ import annotations

from scheduling.generation import GenerationScheduler
from scheduling.generation_sequence import Progress, Step
from scheduling.queueing import ORDERS, Queue
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


class Ledger:
    """The plain queue, and what it was told."""

    def __init__(self, matched) -> None:
        self.queue, self.matched = Queue(ORDERS["fcfs"]), matched
        self.told: list[tuple[int, int, int, int]] = []
        self.gone: list[int] = []

    def __getattr__(self, name: str):
        return getattr(self.queue, name)

    def __len__(self) -> int:
        return len(self.queue)

    def served(self, request, *, num_input: int, num_output: int, num_cached: int) -> None:
        self.told.append((request.id, num_input, num_output, num_cached))

    def left(self, request) -> None:
        self.gone.append(request.id)

    def totals(self, request_id: int) -> tuple[int, ...]:
        """Input, output and cached tokens of a request."""
        rows = [row[1:] for row in self.told if row[0] == request_id]
        return tuple(map(sum, zip(*rows, strict=True)))
