"""Numbers as a report writes them: shares in percent, intervals beside, `~` before what is estimated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statmux.render import marked


def share(value: float | None) -> str:
    """0.98645 as 98.64%."""
    return "–" if value is None else f"{value:.2%}"


def seconds(value: float | None) -> str:
    """Three digits behind the point; a dash where nothing was served."""
    return "–" if value is None else f"{value:.3f}"


def attainment(point: Mapping[str, Any], is_estimated: bool) -> str:
    """The share with its interval, 98.64% (96.6–99.9)."""
    text = share(point["slo_attainment"])
    if point.get("low") is not None and point.get("high") is not None:
        text += f" ({100 * point['low']:.1f}–{100 * point['high']:.1f})"
    return marked(text, is_estimated=is_estimated) or ""


def listed(names: list[str], *, most: int = 12) -> str:
    """A list of names that stays a line or two."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plain(reason: str) -> str:
    """slo_infeasible as people say it."""
    return reason.replace("_", " ")


def size(num_bytes: float) -> str:
    """In the unit that leaves one to three digits before the point."""
    for unit in ("B", "KiB", "MiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} GiB"
