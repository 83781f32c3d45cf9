"""The same fleet with other objectives, the same traffic faster or slower."""

from __future__ import annotations

from dataclasses import replace

from placement.capacity.points import with_slo_scale
from vocabulary.trace import Trace

__all__ = ["sped_up", "with_slo_scale"]


def sped_up(trace: Trace, scale: float) -> Trace:
    """The same requests in 1 / scale of the time."""
    return replace(trace, arrival_s=trace.arrival_s / scale)
