import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import move
from tests.resharding.strategies import shardings
from vocabulary.sharding import Sharding

SHAPE = (12, 6)
DEVICES = jax.devices("cpu")


def on_devices(sharding: Sharding, devices: list[jax.Device]) -> NamedSharding:
    mesh = Mesh(
        np.array(devices[: sharding.num_devices]).reshape([size for _, size in sharding.axes]),
        [name for name, _ in sharding.axes],
    )
    return NamedSharding(mesh, PartitionSpec(*(dim or None for dim in sharding.dims)))


def divides(sharding: Sharding) -> bool:
    # JAX has no ragged shardings: a dimension that does not divide is refused by NamedSharding itself.
    sizes = dict(sharding.axes)
    parts = [np.prod([sizes[axis] for axis in dim], initial=1) for dim in sharding.dims]
    return all(size % part == 0 for size, part in zip(SHAPE, parts, strict=True))


def assert_moves(array: np.ndarray, source: NamedSharding, target: NamedSharding) -> None:
    moved = move(jax.device_put(array, source), target)
    assert moved.sharding == target
    for shard in moved.addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data), array[shard.index])


@settings(max_examples=40, deadline=None)  # the first of each layout compiles a slice
@given(st.data(), st.integers(0, 4))
def test_a_moved_array_is_bit_equal_on_every_device(data, first_target_device):
    source, target = (data.draw(shardings(num_dims=2)) for _ in range(2))
    assume(divides(source) and divides(target))
    assume(source.num_devices <= 8 and first_target_device + target.num_devices <= 8)
    array = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    assert_moves(array, on_devices(source, DEVICES), on_devices(target, DEVICES[first_target_device:]))


@pytest.mark.parametrize("dtype", ["int32", "bool", "float16", "uint8"])
def test_every_datatype_moves(dtype):
    array = np.arange(72).reshape(SHAPE).astype(dtype)
    rows = on_devices(Sharding((("x", 2),), (("x",), ())), DEVICES)
    columns = on_devices(Sharding((("x", 3),), ((), ("x",))), DEVICES[4:])
    assert_moves(array, rows, columns)


@pytest.mark.parametrize("target", [((), ()), (("x",), ("y",)), ((), ("y", "x"))], ids=str)
def test_large_arrays_that_several_threads_copy_are_bit_equal(target):
    axes = (("x", 2), ("y", 2))
    array = np.random.default_rng(0).integers(0, 256, (4096, 4096), np.uint8)
    rows = on_devices(Sharding(axes, (("x", "y"), ())), DEVICES)
    assert_moves(array, rows, on_devices(Sharding(axes, target), DEVICES[4:]))


def test_an_empty_array_moves():
    rows = on_devices(Sharding((("x", 2),), (("x",), ())), DEVICES)
    whole = on_devices(Sharding((("x", 2),), ((), ())), DEVICES[2:])
    assert move(jax.device_put(np.zeros((0, 3)), rows), whole).shape == (0, 3)


def test_a_mismatched_move_does_not_gather_the_array_on_the_host():
    rows = on_devices(Sharding((("x", 4),), (("x",), ())), DEVICES)
    columns = on_devices(Sharding((("x", 2),), ((), ("x",))), DEVICES[4:])
    array = jax.device_put(np.ones(SHAPE, np.float32), rows)
    move(array, columns).block_until_ready()
    # JAX keeps the host copy of a gathered array in this field.
    assert array._npy_value is None


@given(shardings(num_dims=2))
def test_slices_agree_with_jax_where_both_are_defined(sharding):
    assume(divides(sharding) and sharding.num_devices <= 8)
    theirs = on_devices(sharding, DEVICES).devices_indices_map(SHAPE)
    ours = sharding.index_map(SHAPE)
    for index, device in enumerate(DEVICES[: sharding.num_devices]):
        assert [one.indices(size)[:2] for one, size in zip(theirs[device], SHAPE, strict=True)] == [
            (one.start, one.stop) for one in ours[index]
        ]
