"""Memory that comes back when nobody refers to it any more, and never before."""

from __future__ import annotations

import gc

import jax
import ml_dtypes
import numpy as np
import pytest

from resharding.pool import ALIGNMENT_BYTES, BufferPool


@pytest.mark.parametrize("dtype", [np.float32, np.int8, bool, ml_dtypes.bfloat16])
def test_arrays_are_aligned_and_of_the_shape_and_type_asked_for(dtype: type) -> None:
    array = BufferPool().empty((3, 5), dtype)
    assert array.shape == (3, 5)
    assert array.dtype == np.dtype(dtype)
    assert array.ctypes.data % ALIGNMENT_BYTES == 0
    array[...] = 1
    assert array.flags.c_contiguous


def test_a_block_is_used_again_once_its_array_is_gone() -> None:
    pool = BufferPool()
    array = pool.empty((1000,), np.float32)
    address = array.ctypes.data
    assert pool.empty((1000,), np.float32).ctypes.data != address
    del array
    gc.collect()
    assert pool.free_bytes > 0
    assert address in {pool.empty((1000,), np.float32).ctypes.data for _ in range(2)}


def test_a_view_keeps_the_block() -> None:
    pool = BufferPool()
    view = pool.empty((10, 10), np.float32)[2:, 3]
    gc.collect()
    assert pool.free_bytes == 0
    del view
    gc.collect()
    assert pool.free_bytes > 0


def test_an_array_of_jax_keeps_the_block_that_it_lives_on() -> None:
    pool = BufferPool()
    tile = pool.empty((64, 64), np.float32)
    tile[...] = 1.0
    array = jax.block_until_ready(jax.device_put(tile, jax.devices()[0]))
    address = tile.ctypes.data
    del tile
    gc.collect()
    other = pool.empty((64, 64), np.float32)
    other[...] = 2.0
    assert other.ctypes.data != address
    np.testing.assert_array_equal(np.asarray(array), 1.0)


def test_more_than_the_limit_does_not_lie_unused() -> None:
    pool = BufferPool(max_free_bytes=8192)
    arrays = [pool.empty((4096,), np.uint8) for _ in range(5)]
    del arrays
    gc.collect()
    assert pool.free_bytes == 8192
