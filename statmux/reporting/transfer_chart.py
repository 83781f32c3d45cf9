"""The messages of a resharding over time: a row for each port, a bar for each message."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import write_bytes

if TYPE_CHECKING:
    from resharding.planner import TransferPlan

# Colours by class of bytes; distinct for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")


def write_transfer_chart(path: Path, plan: TransferPlan) -> None:
    """Raises InvalidInput for another suffix than .svg or .png, RuntimeFailure where it cannot be written."""
    from matplotlib.figure import Figure

    if path.suffix not in (".svg", ".png"):
        raise InvalidInput(
            f"cannot draw a {path.suffix or 'nameless'} file", where=str(path), hint="name it .svg or .png"
        )
    hosts = sorted({*plan.bytes_in, *plan.bytes_out})
    rows = {
        port: number
        for number, port in enumerate((host, way) for host in hosts for way in ("sends", "receives"))
    }
    figure = Figure(figsize=(8, 0.3 * len(rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    for one in plan.sends:
        colour = _COLOURS[one.send.segments[0].transfer_class % len(_COLOURS)]
        span = [(1e3 * one.start_s, 1e3 * (one.end_s - one.start_s))]
        for port in ((one.send.from_host, "sends"), (one.send.to_host, "receives")):
            axes.broken_barh(span, (rows[port] - 0.4, 0.8), color=colour, linewidth=0.2, edgecolor="white")
    axes.axvline(1e3 * plan.lower_bound_s, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(list(rows.values()), [f"host {host} {way}" for host, way in rows])
    axes.invert_yaxis()
    axes.set_xlabel("ms (estimated); dashed: lower bound")
    axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(drawn, format=path.suffix[1:], metadata=metadata, dpi=150)
    write_bytes(path, drawn.getvalue())
