"""A change of a running fleet as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# More of one kind are counted.
_MAX_SHOWN = 20


def preview_text(document: Mapping[str, Any]) -> str:
    """What would change: keys, models, bytes, steps, and who would be interrupted."""
    if document["is_nothing"]:
        return "nothing changes"
    parts = [document["why"] if not document["changes"] else "changes:"]
    parts += _listed(document["changes"])
    if document["moves"]:
        parts.append(f"weights to bring, {size(document['num_bytes'])}:")
        parts += _listed(document["moves"])
    if document["steps"]:
        parts.append("steps:")
        parts += _listed(f"{index}. {step}" for index, step in enumerate(document["steps"], start=1))
    if document["interrupted"]:
        parts.append(f"without a replica for a while: {', '.join(document['interrupted'])}")
    elif document["steps"]:
        parts.append("no model is interrupted")
    return "\n".join(parts)


def size(num_bytes: float) -> str:
    """As people say it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if num_bytes < 1024:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.1f} TiB"


def _listed(words: Iterable[str]) -> list[str]:
    found = [f"  {one}" for one in words]
    if len(found) <= _MAX_SHOWN:
        return found
    return [*found[:_MAX_SHOWN], f"  and {len(found) - _MAX_SHOWN} more (-o json has all)"]
