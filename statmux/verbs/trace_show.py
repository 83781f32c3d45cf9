"""What the `statmux trace` verbs print of a trace: requests, rates and burstiness, in all and per model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from statmux.render import Console, table

if TYPE_CHECKING:
    from vocabulary.trace import Trace

MODELS_SHOWN = 20


def show_trace(
    ctx: typer.Context, trace: Trace, *, out: Path | None = None, more: Mapping[str, Any] | None = None
) -> None:
    """As a table or a document; `out` is the file that was written, `more` stands in the document only."""
    from vocabulary.traffic import traffic, traffic_by_model

    document: dict[str, Any] = {
        **({"out": str(out)} if out else {}),
        **(more or {}),
        **asdict(traffic(trace)),
        "start_s": float(trace.arrival_s[0]),
        "duration_s": trace.duration_s,
        "num_models": len(trace.models),
        "models": {name: asdict(one) for name, one in traffic_by_model(trace).items()},
    }
    Console(ctx.obj).result(document, lambda: _table(document))


def _table(document: dict[str, Any]) -> str:
    by_rate = sorted(document["models"].items(), key=lambda item: -item[1]["num_requests"])
    rows = [("all", *(document[key] for key in ("num_requests", "rate_rps", "cv")))]
    rows += [(name, *one.values()) for name, one in by_rate[:MODELS_SHOWN]]
    text = table(("model", "requests", "rate /s", "gap CV"), rows)
    if len(by_rate) > MODELS_SHOWN:
        text += f"\n... and {len(by_rate) - MODELS_SHOWN} models more (all of them with -o json)"
    written = f"wrote {document['out']}: " if "out" in document else ""
    return f"{written}{document['duration_s']:.3f} s from {document['start_s']:.3f} s\n{text}"
