"""Batches through the stages of one process: real arrays, and layouts that differ from stage to stage."""

from __future__ import annotations

import queue
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import is_copied_here, move, num_blocks_made, reserve
from tests.workers.goldens import load, read_golden, serve
from workers.padding import Bucket, PaddedBatch
from workers.passages import NUM_BUFFERS
from workers.stage_line import InFlight, StageLine

PATIENCE_S = 60.0
SIZE = 256
DEVICES = jax.devices("cpu")


class RowsThenColumns:
    """x + 1 by rows over four devices, then x * 2 by columns over four others."""

    def __init__(self) -> None:
        rows, columns = Mesh(np.array(DEVICES[:4]), ("t",)), Mesh(np.array(DEVICES[4:]), ("t",))
        self.shardings = (
            NamedSharding(rows, PartitionSpec("t", None)),
            NamedSharding(columns, PartitionSpec(None, "t")),
        )
        self.functions = (jax.jit(lambda x: x + 1), jax.jit(lambda x: x * 2))

    def run_stage(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        return self._on(stage, batch, self.functions[stage])

    def take(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        return self._on(stage, batch, lambda x: x)

    def is_copied_to(self, stage: int, batch: PaddedBatch) -> bool:
        return is_copied_here(batch.arrays["x"], self.shardings[stage])

    def blank(self, value: float) -> PaddedBatch:
        return PaddedBatch(Bucket(SIZE, SIZE), (), {"x": np.full((SIZE, SIZE), value, np.float32)})

    def _on(self, stage: int, batch: PaddedBatch, function) -> PaddedBatch:
        x = batch.arrays["x"]
        sharding = self.shardings[stage]
        x = move(x, sharding) if isinstance(x, jax.Array) else jax.device_put(x, sharding)
        return replace(batch, arrays={"x": function(x)})


@pytest.fixture
def left():
    return queue.SimpleQueue()


@pytest.fixture
def line(left):
    made = StageLine(
        range(2),
        leave=left.put,
        freed=lambda job: None,
        failed=lambda job, stage, error: left.put(error),
    )
    yield made
    made.close()
    made.join()


def test_layouts_that_differ_are_copied_into_the_same_few_blocks(line, left):
    model = RowsThenColumns()
    reserve(model.run_stage(0, model.blank(0)).arrays["x"], model.shardings[1], count=NUM_BUFFERS + 1)
    before = num_blocks_made()
    for number in range(30):
        line.enter(InFlight(number, model, (model.blank(number),)))
        done = left.get(timeout=PATIENCE_S)
        assert done.ticket == number
        np.testing.assert_array_equal(np.asarray(done.parts[0].arrays["x"]), 2.0 * (number + 1))
    assert num_blocks_made() == before


def test_what_was_handed_over_is_never_written_again(line, left):
    model = RowsThenColumns()
    kept = []
    for number in range(8):
        line.enter(InFlight(number, model, (model.blank(number),)))
    for _ in range(8):
        kept.append(left.get(timeout=PATIENCE_S))
    for done in kept:
        np.testing.assert_array_equal(np.asarray(done.parts[0].arrays["x"]), 2.0 * (done.ticket + 1))


def test_equal_layouts_are_handed_over_without_memory(line, left):
    model = load("gpt2", config=(2, 2), batch_buckets=(4,))
    model.compile()
    batch = model.pad([{"input_ids": np.arange(12).reshape(3, 4)}])
    before = num_blocks_made()
    for number in range(5):
        line.enter(InFlight(number, model, (batch,)))
        left.get(timeout=PATIENCE_S)
    assert num_blocks_made() == before


def test_batches_in_flight_together_answer_as_alone(line, left):
    golden = read_golden("bert")
    model = load("bert", config=(2, 2), batch_buckets=(1, 8))
    model.compile()
    alone = [serve(model, [request])[0] for request in golden.requests]
    for number, request in enumerate(golden.requests):
        line.enter(InFlight(number, model, (model.pad([request]),)))
    for number, expected in enumerate(alone):
        done = left.get(timeout=PATIENCE_S)
        assert done.ticket == number
        (output,) = model.unpad(done.parts[0])[0].values()
        np.testing.assert_array_equal(output, expected)


def test_a_stage_that_fails_fails_its_batch_alone(line, left):
    model = RowsThenColumns()
    line.enter(InFlight(0, model, (PaddedBatch(Bucket(1, 1), (), {}),)))
    assert isinstance(left.get(timeout=PATIENCE_S), KeyError)
    line.enter(InFlight(1, model, (model.blank(1),)))
    assert jnp.all(left.get(timeout=PATIENCE_S).parts[0].arrays["x"] == 4.0)
