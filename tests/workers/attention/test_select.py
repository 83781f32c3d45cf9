"""What serves has passed a test on this machine; what was passed over is told why."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import pytest

from vocabulary.errors import InvalidInput
from workers.attention.interface import AttentionBackend
from workers.attention.pallas_gpu import PallasGpuAttention
from workers.attention.select import CANDIDATES, choose_backend
from workers.attention.self_test import AttentionShape, find_fault
from workers.attention.xla import XlaAttention

SHAPE = AttentionShape(num_heads=4, num_kv_heads=2, head_width=16, page_tokens=4)


@dataclass(frozen=True, slots=True)
class Around:
    """A backend with another's methods, but for what a test breaks."""

    inner: AttentionBackend
    name: str

    @property
    def empty(self):
        return self.inner.empty

    @property
    def write(self):
        return self.inner.write

    @property
    def decode(self):
        return self.inner.decode

    @property
    def chunks(self):
        return self.inner.chunks


class ForgetsTheLast(Around):
    """Off by one: a row does not see its own token."""

    def decode(self, cache, q_SNH, tables_SM, lengths_S):
        return self.inner.decode(cache, q_SNH, tables_SM, lengths_S - 1)


class SeesTheFuture(Around):
    """Chunks without a causal mask."""

    def chunks(self, cache, q_CBNH, tables_CM, starts_C, counts_C):
        return self.inner.chunks(cache, q_CBNH, tables_CM, starts_C + 1, counts_C)


class HasNoKernel(Around):
    def decode(self, cache, q_SNH, tables_SM, lengths_S):
        raise RuntimeError("no kernel image is available")


def test_plain_xla_serves_on_a_cpu() -> None:
    chosen = choose_backend(platform="cpu", shape=SHAPE)
    assert chosen.backend == XlaAttention()
    assert chosen.reasons == ()


def test_broken_backends_are_passed_over_with_their_reasons() -> None:
    good = XlaAttention()
    candidates = (HasNoKernel(good, "none"), ForgetsTheLast(good, "short"), SeesTheFuture(good, "far"), good)
    chosen = choose_backend(platform="cpu", shape=SHAPE, candidates=candidates)
    assert chosen.backend == good
    none, short, far = chosen.reasons
    assert none == ("attention backend none passed over: RuntimeError: no kernel image is available")
    assert "short passed over: its largest error is" in short
    assert "far passed over: its largest error is" in far


def test_the_kernel_passes_the_test_that_it_would_take_on_a_gpu() -> None:
    assert find_fault(PallasGpuAttention(interprets=True), SHAPE) is None


def test_sixteen_bits_pass_within_their_rounding() -> None:
    shape = AttentionShape(num_heads=2, num_kv_heads=1, head_width=16, page_tokens=4, dtype="bfloat16")
    assert find_fault(XlaAttention(), shape) is None
    assert "no tolerance is known for int8" in find_fault(XlaAttention(), AttentionShape(2, 1, 16, 4, "int8"))


def test_a_wanted_backend_that_is_not_of_the_platform_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidInput, match="no attention backend 'pallas_gpu' for float32 on cpu") as refused:
        choose_backend(platform="cpu", shape=SHAPE, wanted="pallas_gpu")
    assert "xla" in refused.value.hint


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU: the test is of a machine without")
def test_a_gpus_order_ends_in_plain_xla_where_its_kernels_do_not_run() -> None:
    chosen = choose_backend(platform="gpu", shape=SHAPE)
    assert chosen.backend.name == "xla"
    assert [reason.split()[2] for reason in chosen.reasons] == ["pallas_gpu", "cudnn"]
    assert CANDIDATES["gpu"][-1].name == "xla"
