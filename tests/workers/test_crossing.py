"""Activations from one process's stage to another's: here both ends are in one, each with its transport."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import num_blocks_made, reserve_arriving
from resharding.transport.host import HostTransport
from resharding.transport.host_channel import HostChannel
from workers.crossing import Crossing
from workers.padding import Bucket, PaddedBatch
from workers.passages import NUM_BUFFERS

DEVICES = jax.devices("cpu")
SHAPE = (4, 16, 64)
PATIENCE_S = 60.0


def sharding(devices: list[jax.Device], *dims: str | None) -> NamedSharding:
    return NamedSharding(Mesh(np.array(devices), ("tensor",)), PartitionSpec(*dims))


# As two processes would have them: the first devices of each.
REPLICATED = sharding(DEVICES[:2])
LAYOUTS = {"replicated": REPLICATED, "by tokens": sharding(DEVICES[:4], None, "tensor", None)}


@pytest.fixture
def channels() -> Iterator[list[HostChannel]]:
    transports = [HostTransport(host=name, timeout_s=PATIENCE_S) for name in ("one", "other")]
    group = tuple(one.endpoint() for one in transports)
    yield [one.open(group, 1) for one in transports]
    for one in transports:
        one.close()


def crossings(channels: list[HostChannel], *, target_devices: tuple[int, ...]) -> list[Crossing]:
    return [Crossing(one, source=0, target=1, target_devices=target_devices) for one in channels]


def batch(value: float, layout: NamedSharding) -> PaddedBatch:
    hidden = np.full(SHAPE, value, np.float32)
    hidden[:, 0, 0] = np.arange(SHAPE[0])
    mask = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE[:2]) % 3 == 0
    flat = NamedSharding(layout.mesh, PartitionSpec())
    arrays = {"hidden_states": jax.device_put(hidden, layout), "attention_mask": jax.device_put(mask, flat)}
    return PaddedBatch(Bucket(*SHAPE[:2]), (), arrays)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_a_stage_made_arrives_as_the_next_takes_it_without_new_memory(channels, layout: NamedSharding):
    sender, receiver = crossings(channels, target_devices=(0, 1))
    structs = {
        "hidden_states": jax.ShapeDtypeStruct(SHAPE, np.float32, sharding=REPLICATED),
        "attention_mask": jax.ShapeDtypeStruct(SHAPE[:2], np.bool_, sharding=REPLICATED),
    }
    for struct in structs.values():
        reserve_arriving(struct, count=NUM_BUFFERS)
    before = num_blocks_made()
    with ThreadPoolExecutor(1) as pool:
        for value in range(12):
            sent = batch(value, layout)
            (note,) = sender.announced([sent])
            leaving = pool.submit(sender.send, [sent], [note])
            taken = receiver.take(note, structs)
            leaving.result(PATIENCE_S)
            for name, array in taken.items():
                assert array.sharding == structs[name].sharding
                np.testing.assert_array_equal(np.asarray(array), np.asarray(sent.arrays[name]))
    assert num_blocks_made() == before


def test_results_lie_in_the_memory_of_the_host(channels):
    sender, receiver = crossings(channels, target_devices=(0,))
    sent = batch(7.0, LAYOUTS["by tokens"])
    (note,) = sender.announced([sent])
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(sender.send, [sent], [note])
        taken = receiver.take_results(note)
        leaving.result(PATIENCE_S)
    assert isinstance(taken["hidden_states"], np.ndarray)
    np.testing.assert_array_equal(taken["hidden_states"], np.asarray(sent.arrays["hidden_states"]))
