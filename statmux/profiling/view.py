"""What `statmux profile` prints: a line a configuration, and where the profiles were written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from statmux.render import marked, milliseconds, table
from vocabulary.profile import Profile

_HEADINGS = ("model", "tensor", "pipeline", "latency", "slowest stage", "MiB a device")


def document_of(profile: Profile, path: Path) -> dict[str, Any]:
    """One profile for programs."""
    entries = [
        {
            "tensor": config.tensor,
            "pipeline": config.pipeline,
            "latency_s": sum(entry.stage_latency_s[1]),
            "stage_latency_s": entry.stage_latency_s[1],
            "stage_layers": entry.stage_layers,
            "weight_bytes": entry.weight_bytes,
            "estimated": profile.is_estimated(config),
        }
        for config, entry in profile.entries.items()
    ]
    return {"file": str(path), "provenance": profile.provenance.kind, "entries": entries}


def table_of(profiles: Mapping[str, Profile], targets: Mapping[str, Path]) -> str:
    """All profiles, by model, for people."""
    rows = []
    for name, one in profiles.items():
        for config, entry in one.entries.items():
            estimated = one.is_estimated(config)
            stages_s = entry.stage_latency_s[1]
            rows.append([
                name, config.tensor, config.pipeline,
                marked(milliseconds(sum(stages_s)), is_estimated=estimated),
                marked(milliseconds(max(stages_s)), is_estimated=estimated),
                marked(f"{max(entry.weight_bytes) / 2**20:.1f}", is_estimated=estimated),
            ])  # fmt: skip
    written = "\n".join(f"wrote {path}" for path in targets.values())
    explained = "~: estimated\n" if any(one.has_estimates for one in profiles.values()) else ""
    return f"{table(_HEADINGS, rows)}\n\n{explained}{written}"
