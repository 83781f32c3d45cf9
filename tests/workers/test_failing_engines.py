"""Batches that fail, and threads that die: requests hear of it, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.workers.device_group import KEY, spec_of
from tests.workers.group_visits import PATIENCE_S, Visit, visit
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.tensors import Tensor
from workers.frames import Done, Gone
from workers.host import WorkerHost
from workers.jax_engine import JaxEngine
from workers.padding import Bucket, PaddedBatch

# No machine has so much.
_FLOATS = 2**44


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("there are no words")


@dataclass(frozen=True)
class Rows:
    """One row a request, which it gives back; what it does on the way is its value's to say."""

    inputs: tuple = ()
    outputs: tuple = ()
    num_recompiles: int = 0

    def prepare(self, request: dict[str, np.ndarray]) -> np.ndarray:
        return request["x"]

    def parts(self, requests: list[np.ndarray]) -> list[PaddedBatch]:
        return [PaddedBatch(Bucket(1, 1), (), {"x": np.concatenate(requests)})] if requests else []

    def run_stage(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        match batch.arrays["x"][0]:
            case 1:
                jax.block_until_ready(jax.jit(lambda: jnp.ones((_FLOATS,), jnp.float32))())
            case 2:
                np.ones(_FLOATS)
            case 3:
                raise KeyError("a value that nobody is to see")
            case 4:
                raise Unspeakable
        return batch

    def unpad(self, batch: PaddedBatch) -> list[dict[str, np.ndarray]]:
        return [{"x": row} for row in batch.arrays["x"]]

    def release(self) -> None:
        return None


def served(folder: Path, models: dict[str, Rows]) -> WorkerHost:
    """A host that computes, with models of ours in place of those of a checkpoint."""
    made = WorkerHost(replace(spec_of(folder, "bert"), models=()))
    made.start()
    engine = made._engine
    assert isinstance(engine, JaxEngine)
    engine.take(models)
    return made


@pytest.fixture
def host(tmp_path: Path) -> Iterator[WorkerHost]:
    made = served(tmp_path, {"bert": Rows()})
    yield made
    made.stop()


def asked(value: int) -> tuple[Tensor, ...]:
    return (tensor_of("x", np.asarray([value], np.int32)),)


async def error_of(visitor: Visit, number: int, value: int) -> tuple[str, str]:
    done = (await visitor.answer(number, "bert", asked(value))).header
    return done.fate, done.error


@pytest.mark.asyncio
async def test_a_batch_that_finds_no_memory_fails_and_the_group_goes_on(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        for number, value in enumerate((1, 2, 1, 2)):
            assert await error_of(visitor, number, value) == ("failed", "out of memory in stage 0")
        assert await error_of(visitor, 5, 3) == ("failed", "KeyError in stage 0")
        frame = await visitor.answer(6, "bert", asked(0))
        assert frame.header.fate == "served"
        assert array_of(frame.tensors[0]) == 0


@pytest.mark.asyncio
async def test_a_tensor_that_does_not_hold_what_it_says_fails_alone(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        for number, wrong in enumerate(
            (Tensor("x", "INT32", (2,), b"\x00\x00\x00\x00"), Tensor("x", "INT33", (1,), b"\x00\x00\x00\x00"))
        ):
            done = (await visitor.answer(number, "bert", (wrong,))).header
            assert done.fate == "invalid"
            assert done.error.startswith("x does not hold what it says")


@pytest.mark.asyncio
async def test_a_thread_that_dies_takes_the_group_along_and_all_it_held_is_answered(host: WorkerHost):
    async with visit(host.address, KEY) as visitor:
        # Whose words cannot be told kills the thread that would tell them.
        for number, value in enumerate((4, 0, 0)):
            visitor.ask(number, "bert", asked(value))
        done: list[Done] = []
        async with asyncio.timeout(PATIENCE_S):
            while not isinstance(header := (await visitor.heard.get()).header, Gone):
                done += [header] if isinstance(header, Done) else []
        assert header.why == "its stages stand still: ValueError"
        # Those that run fail in words; of those that wait, the link that ends says the rest.
        assert "closed" in await visitor.loss()
        assert [(one.request_id, one.fate) for one in done][:1] == [(0, "failed")]
        with pytest.raises(OSError):
            async with visit(host.address, KEY, front=2):
                pass


@pytest.mark.asyncio
async def test_an_error_of_ours_on_the_loop_is_said_and_ends_the_group(tmp_path: Path):
    """Of a model that the machine knows, and not the engine."""
    host = served(tmp_path, {})
    try:
        async with visit(host.address, KEY) as visitor:
            visitor.ask(1, "bert", asked(0))
            assert (await visitor.next_of(Gone)).why == "its server failed: KeyError"
            await visitor.loss()
    finally:
        host.stop()
