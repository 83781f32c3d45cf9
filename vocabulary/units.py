"""Quantities: times in float seconds, and the human spellings `13GiB`, `300GB/s`, `20us` in files.

Every finish time in the house is made by the same additions in the same order (`scheduling.pipeline`), so the
simulator, the compiled scorer and the live machines agree to the last bit (docs/decisions/0002-time.md).
"""

from __future__ import annotations

import math
import re

# Later than any event: "no need to wake me".
NEVER_S = math.inf
# A request that ends this much after it is due is still in time: the same sum in another order may differ by
# a few units in the last place, and an SLO of exactly three latencies should hold three requests.
TIME_TOLERANCE_S = 1e-9

_DECIMAL = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_PREFIXES = _DECIMAL | _BINARY | {"k": 10**3}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_NUMBER = r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*"


def parse_bytes(text: str) -> int:
    """`13GiB`, `16 GB`, `1024` (bytes) as bytes. Raises ValueError naming the accepted forms."""
    match = re.fullmatch(_NUMBER + r"([KMGTP]i?|k)?B?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write bytes as a number or like 13GiB, 16GB, 64MiB")
    return round(float(match[1]) * _PREFIXES[match[2] or ""])


def parse_bandwidth(text: str) -> float:
    """`300GB/s` or `100Gb/s` (bits) as bytes per second. Raises ValueError naming the accepted forms."""
    match = re.fullmatch(_NUMBER + r"([KMGTP]i?|k)?([Bb])(?:/s|ps)", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a bandwidth; write it like 300GB/s (bytes) or 100Gb/s (bits)")
    bits = 8 if match[3] == "b" else 1
    return float(match[1]) * _PREFIXES[match[2] or ""] / bits


def parse_seconds(text: str) -> float:
    """`20us`, `5ms`, `1.5s`, `20m` as seconds. Raises ValueError naming the accepted forms."""
    match = re.fullmatch(
        _NUMBER + "(" + "|".join(sorted(_SECONDS, key=len, reverse=True)) + ")", text.strip()
    )
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write it like 20us, 5ms, 1.5s, 20m")
    return float(match[1]) * _SECONDS[match[2]]


def format_bytes(num_bytes: float) -> str:
    """A size for people: 13.0 GiB, 512 MiB, 128 B."""
    for prefix in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        if abs(num_bytes) >= _BINARY[prefix]:
            return f"{num_bytes / _BINARY[prefix]:.1f} {prefix}B"
    return f"{num_bytes:.0f} B"
