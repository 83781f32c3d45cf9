"""Which attention backend the stages of a model run with, said in the log."""

from __future__ import annotations

import jax
import structlog

from workers.attention.interface import AttentionBackend
from workers.attention.select import AUTO, Chosen, choose_backend
from workers.attention.self_test import AttentionShape
from workers.attention.xla import XlaAttention
from workers.families.family import KeyValueHeads

_log = structlog.get_logger("statmux.worker")


def attention_backend(
    heads: KeyValueHeads, *, tensor: int, page_tokens: int, dtype: str, device: jax.Device, wanted: str = AUTO
) -> AttentionBackend:
    """For pages on `tensor` devices like `device`. Raises InvalidInput if the `wanted` one will not do."""
    chosen = _chosen(heads, tensor=tensor, page_tokens=page_tokens, dtype=dtype, device=device, wanted=wanted)
    for reason in chosen.reasons:
        _log.info(reason)
    _log.info("attention", backend=chosen.backend.name, wanted=wanted, platform=device.platform, dtype=dtype)
    return chosen.backend


def _chosen(
    heads: KeyValueHeads, *, tensor: int, page_tokens: int, dtype: str, device: jax.Device, wanted: str
) -> Chosen:
    # There is nothing else on a CPU, and a test of the oracle against itself costs seconds.
    if device.platform == "cpu" and wanted == AUTO:
        return Chosen(XlaAttention(), ())
    num_parts = heads.num_parts(tensor)
    shape = AttentionShape(
        num_heads=heads.num_queries // num_parts,
        num_kv_heads=heads.count // num_parts,
        head_width=heads.width,
        page_tokens=page_tokens,
        dtype=dtype,
    )
    return choose_backend(platform=device.platform, shape=shape, wanted=wanted, device=device)
