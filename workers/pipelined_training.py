"""A training step of a pipelined model under any schedule of `resharding.schedules`, in one process.

For the schedules' own sake: statmux serves, it does not train. Stages live on devices of their own; what they
send each other goes through `resharding.executor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
from jax import numpy as jnp

from resharding.executor import move
from resharding.schedules import Rows, Task, needs

# (parameters, input) -> output; the last stage's output is the loss of a micro-batch, a scalar.
StageFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class TrainedStage:
    """A stage's function, its parameters, and the layout in which it takes and gives activations."""

    function: StageFunction
    params: Any
    sharding: jax.sharding.Sharding


@dataclass(frozen=True, slots=True)
class Step:
    """loss: mean over micro-batches; gradients: of that mean, one pytree for each stage."""

    loss: jax.Array
    gradients: tuple[Any, ...]
    peak_in_flight: tuple[int, ...]


def training_step(rows: Rows, stages: Sequence[TrainedStage], micro_batches: Sequence[Any]) -> Step:
    """Forward and backward of all micro-batches, each stage in the order of its row."""
    run = _Run(stages, micro_batches, is_split=any(task.kind == "W" for row in rows for task in row))
    next_task = [0] * len(rows)
    while any(position < len(row) for position, row in zip(next_task, rows, strict=True)):
        ready = [
            stage
            for stage, row in enumerate(rows)
            if next_task[stage] < len(row) and run.is_ready(stage, row[next_task[stage]])
        ]
        assert ready, "the schedule waits for itself"
        for stage in ready:
            run.perform(stage, rows[stage][next_task[stage]])
            next_task[stage] += 1
    return run.step()


@final
class _Run:
    def __init__(
        self, stages: Sequence[TrainedStage], micro_batches: Sequence[Any], *, is_split: bool
    ) -> None:
        self._stages = stages
        self._inputs: dict[tuple[int, int], Any] = {
            (0, index): jax.device_put(batch, stages[0].sharding) for index, batch in enumerate(micro_batches)
        }
        self._number = len(micro_batches)
        self._is_split = is_split
        self._done: set[tuple[int, Task]] = set()
        self._backward: dict[tuple[int, int], Callable[[Any], Any]] = {}
        self._output_gradient: dict[tuple[int, int], Any] = {}
        self._losses: list[jax.Array] = []
        self._sums: list[Any] = [None] * len(stages)
        self._peak = [0] * len(stages)

    def is_ready(self, stage: int, task: Task) -> bool:
        return all(one in self._done for one in needs(stage, task, len(self._stages)))

    def perform(self, stage: int, task: Task) -> None:
        {"F": self._forward, "B": self._backwards, "W": self._weights}[task.kind](stage, task.micro_batch)
        self._done.add((stage, task))

    def step(self) -> Step:
        loss = sum(self._losses[1:], self._losses[0]) / self._number
        gradients = tuple(jax.tree.map(lambda leaf: leaf / self._number, total) for total in self._sums)
        return Step(loss, gradients, tuple(self._peak))

    def _forward(self, stage: int, index: int) -> None:
        one = self._stages[stage]
        value = self._inputs[stage, index]
        # Token ids have no gradient: the first stage is differentiated in its parameters only.
        if stage == 0:
            output, self._backward[stage, index] = jax.vjp(
                lambda params: one.function(params, value), one.params
            )
        else:
            output, self._backward[stage, index] = jax.vjp(one.function, one.params, value)
        held = sum(1 for held_stage, _ in self._backward if held_stage == stage)
        self._peak[stage] = max(self._peak[stage], held)
        if stage + 1 < len(self._stages):
            self._inputs[stage + 1, index] = move(output, self._stages[stage + 1].sharding)
        else:
            self._losses.append(output)
            self._output_gradient[stage, index] = jnp.ones_like(output)

    def _backwards(self, stage: int, index: int) -> None:
        found = self._backward[stage, index](self._output_gradient[stage, index])
        if stage > 0:
            self._output_gradient[stage - 1, index] = move(found[1], self._stages[stage - 1].sharding)
        if not self._is_split:
            self._finish(stage, index, found[0])

    def _weights(self, stage: int, index: int) -> None:
        # Written as two calls; under jit each would keep only what it returns.
        self._finish(stage, index, self._backward[stage, index](self._output_gradient[stage, index])[0])

    def _finish(self, stage: int, index: int, gradient: Any) -> None:
        total = self._sums[stage]
        self._sums[stage] = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
        del self._backward[stage, index], self._output_gradient[stage, index], self._inputs[stage, index]
