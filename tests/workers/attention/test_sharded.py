"""Key-value heads split over a mesh: the same results, and no device asks another for its cache."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from tests.workers.attention.oracle import case
from workers.attention.interface import AttentionBackend
from workers.attention.pallas_gpu import PallasGpuAttention
from workers.attention.xla import XlaAttention

TENSOR_AXIS = "tensor"
TALK = re.compile(r"all-gather|all-reduce|all-to-all|collective-permute")


@pytest.mark.parametrize(
    ("backend", "tensor"),
    [(XlaAttention(), 2), (XlaAttention(), 4), (PallasGpuAttention(interprets=True), 2)],
)
def test_a_step_on_split_heads_needs_no_word_between_devices(backend: AttentionBackend, tensor: int) -> None:
    drawn = case([5, 9, 30], num_heads=8, num_kv_heads=4)
    mesh = Mesh(np.array(jax.devices()[:tensor]), (TENSOR_AXIS,))
    backend = backend.on_mesh(mesh, TENSOR_AXIS)

    def on_mesh(spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(mesh, spec)

    layout = jax.tree.map(on_mesh, backend.spec(TENSOR_AXIS))
    heads = on_mesh(PartitionSpec(None, TENSOR_AXIS))
    cache = jax.device_put(drawn.cache(backend), layout)
    q = jax.device_put(jnp.asarray(np.stack([q[-1] for q in drawn.q])), heads)
    new = jax.device_put(jnp.ones((3, 4, 8)), heads)

    def step(cache, q, new, tables, lengths, slots):
        cache = backend.write(cache, new, new, slots)
        tiles = jnp.broadcast_to(q[:, None], (len(q), 2, *q.shape[1:]))
        return (
            cache,
            backend.decode(cache, q, tables, lengths),
            backend.chunks(cache, tiles, tables, lengths - 2, lengths * 0 + 2)[:, 1],
        )

    lengths = jnp.asarray(drawn.lengths, jnp.int32)
    nowhere = jnp.full(3, drawn.num_slots, jnp.int32)
    operands = (cache, q, new, jnp.asarray(drawn.tables_SM), lengths, nowhere)
    tiles = on_mesh(PartitionSpec(None, TENSOR_AXIS))
    compiled = (
        jax.jit(step, out_shardings=(layout, heads, tiles), donate_argnums=0).lower(*operands).compile()
    )
    assert not TALK.findall(compiled.as_text())
    _, decoded, chunked = compiled(*operands)
    for sequence, length in enumerate(drawn.lengths):
        expected = drawn.expected(sequence, length - 1)
        np.testing.assert_allclose(decoded[sequence], expected, atol=1e-5)
        np.testing.assert_allclose(chunked[sequence], expected, atol=1e-5)
