"""What devices can do at best, as their vendors say: to hold measurements against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peaks:
    """Of one device, dense products with float32 sums. float32: without TF32."""

    memory_bytes_per_s: float
    flop_per_s: dict[str, float]


def _peaks(terabytes: float, *, teraflop_16: float, teraflop_32: float) -> Peaks:
    return Peaks(
        terabytes * 1e12,
        {"bfloat16": teraflop_16 * 1e12, "float16": teraflop_16 * 1e12, "float32": teraflop_32 * 1e12},
    )


# By a part of the name that JAX gives a device. NVIDIA's data sheets, SXM boards.
KNOWN = {
    "H200": _peaks(4.8, teraflop_16=989, teraflop_32=67),
    "H100": _peaks(3.35, teraflop_16=989, teraflop_32=67),
    "A100": _peaks(2.0, teraflop_16=312, teraflop_32=19.5),
}


def peaks_of(device_kind: str) -> Peaks | None:
    """None for devices that are not listed, CPUs among them."""
    return next((peaks for name, peaks in KNOWN.items() if name in device_kind), None)
