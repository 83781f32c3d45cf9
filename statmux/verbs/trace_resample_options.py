"""Words of `statmux trace resample`; the same as `simulator.traffic.windows.Method`, without loading it."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    UNBIASED = "unbiased"
    PUBLISHED = "published"
