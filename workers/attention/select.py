"""Which backend computes attention: the first, in a platform's order, that passes a test on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax

from vocabulary.errors import InvalidInput
from workers.attention.cudnn import CudnnAttention
from workers.attention.interface import AttentionBackend
from workers.attention.pallas_gpu import PallasGpuAttention
from workers.attention.self_test import AttentionShape, find_fault
from workers.attention.xla import ON_GPU, XlaAttention

# By what JAX calls the platform of a device; in order of preference.
CANDIDATES: Mapping[str, tuple[AttentionBackend, ...]] = {
    "cpu": (XlaAttention(),),
    "gpu": (PallasGpuAttention(), CudnnAttention(), XlaAttention(ON_GPU)),
    "tpu": (XlaAttention(ON_GPU),),
}
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Chosen:
    """reasons: one sentence for every backend that was passed over, in order, for the log."""

    backend: AttentionBackend
    reasons: tuple[str, ...]


def choose_backend(
    *,
    platform: str,
    shape: AttentionShape,
    wanted: str = AUTO,
    device: jax.Device | None = None,
    candidates: tuple[AttentionBackend, ...] | None = None,
) -> Chosen:
    """The best backend that computes what it should on `device` (the default one if none).

    shape: of what one device computes. wanted: a backend's name, or auto. candidates: instead of the
    platform's. Raises InvalidInput if none will do.
    """
    reasons = []
    for backend in CANDIDATES.get(platform, ()) if candidates is None else candidates:
        if wanted not in (AUTO, backend.name):
            continue
        fault = find_fault(backend, shape, device=device)
        if fault is None:
            return Chosen(backend, tuple(reasons))
        reasons.append(f"attention backend {backend.name} passed over: {fault}")
    names = ", ".join(b.name for b in CANDIDATES.get(platform, ())) or "none"
    raise InvalidInput(
        f"no attention backend {wanted!r} for {shape.dtype} on {platform}"
        + "".join(f"; {r}" for r in reasons),
        where="attention",
        hint=f"choose auto, or one of this platform's: {names}",
    )
