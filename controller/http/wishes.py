"""What a client asks for in headers: how late its answer may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from starlette.datastructures import Headers

from controller.calls import Reason
from controller.text.refused import Refused

# The first that is there counts: llm-d's name, then the older one that gateways still send.
TTFT_HEADERS = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
TPOT_HEADERS = ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")
LATENCY_HEADERS = ("x-statmux-slo-latency-ms",)
TIMEOUT_HEADERS = ("x-statmux-timeout-ms",)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Objectives and patience of one call, as of GenerateCall. None: the client did not say."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    slo_s: float | None = None
    timeout_s: float | None = None


def wishes_of(headers: Headers) -> Wishes:
    """Raises Refused for a header that is not a positive number of milliseconds."""
    return Wishes(
        ttft_s=_seconds(headers, TTFT_HEADERS),
        tpot_s=_seconds(headers, TPOT_HEADERS),
        slo_s=_seconds(headers, LATENCY_HEADERS),
        timeout_s=_seconds(headers, TIMEOUT_HEADERS),
    )


def _seconds(headers: Headers, names: tuple[str, ...]) -> float | None:
    name = next((name for name in names if name in headers), None)
    if name is None:
        return None
    try:
        milliseconds = float(headers[name])
    except ValueError:
        milliseconds = math.nan
    if math.isfinite(milliseconds) and milliseconds > 0:
        return milliseconds * 1e-3
    message = f"header {name}: expected milliseconds above 0, got {headers[name][:40]!r}"
    raise Refused(Reason.INVALID_PARAMETER, message, param=name)
