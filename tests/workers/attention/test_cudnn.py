"""cuDNN cannot run here: what it is asked is of shapes that its binding takes; choosing it says why not."""

from __future__ import annotations

import jax
import pytest
from jax import numpy as jnp

from workers.attention.cudnn import CudnnAttention, arguments, shares_out
from workers.attention.interface import Pages
from workers.attention.self_test import AttentionShape, find_fault

fused = pytest.importorskip(
    "jax._src.cudnn.fused_attention_stablehlo", reason="this JAX has no cuDNN binding"
)


def test_arguments_pass_the_checks_of_the_binding() -> None:
    pool = jax.ShapeDtypeStruct((64, 2, 16, 64), jnp.bfloat16)
    asked = jax.eval_shape(
        arguments,
        Pages(pool, pool),
        jax.ShapeDtypeStruct((4, 8, 64), jnp.bfloat16),
        jax.ShapeDtypeStruct((4, 10), jnp.int32),
        jax.ShapeDtypeStruct((4,), jnp.int32),
    )
    q, k, v = asked["query"], asked["key"], asked["value"]
    lengths, tables = (asked["q_seqlen"], asked["kv_seqlen"]), (asked["page_table_k"], asked["page_table_v"])
    fused.check_layout(q, k, v, None, *lengths, None, None, *tables, fused.AttentionLayout.BNTH)
    assert q.shape == (4, 8, 1, 64)


def test_only_pools_that_share_out_evenly_and_widely_are_asked_of_it() -> None:
    assert shares_out(num_pages=64, rows=4, columns=16)
    assert not shares_out(num_pages=64, rows=4, columns=17)
    assert not shares_out(num_pages=65, rows=4, columns=2)


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU: the test is of a machine without")
def test_without_a_gpu_it_has_a_fault_to_tell() -> None:
    assert find_fault(CudnnAttention(), AttentionShape(4, 2, 64, 16, "bfloat16"))
