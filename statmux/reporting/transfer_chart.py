"""The messages of a resharding over time: a row for each port, a bar for each message."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from resharding.planner import TransferPlan
    from resharding.sends import Timed

# Colours by class of bytes; distinct for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#7f7f7f")
# Past so many messages the borders between them would hide them all: those in a row are drawn as one.
_MAX_APART = 1000
# Sums of floating point numbers: what is nearer is one.
_NO_GAP = 1 + 1e-9
# Start, duration and class.
_Bar = tuple[float, float, int]


def write_transfer_chart(path: Path, plan: TransferPlan) -> None:
    """Raises InvalidInput for another suffix than .svg or .png, RuntimeFailure where it cannot be written."""
    from matplotlib.figure import Figure

    if path.suffix not in (".svg", ".png"):
        raise InvalidInput(
            f"cannot draw a {path.suffix or 'nameless'} file", where=str(path), hint="name it .svg or .png"
        )
    rows = _rows(plan.sends)
    figure = Figure(figsize=(8, 0.3 * len(rows) + 1.6), layout="constrained")
    axes = figure.add_subplot()
    is_apart = len(plan.sends) <= _MAX_APART
    for number, bars in enumerate(rows.values()):
        _draw(axes, number, bars if is_apart else _together(bars), is_apart=is_apart)
    axes.axvline(1e3 * plan.lower_bound_s, color="black", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"host {host} {way}" for host, way in rows])
    axes.invert_yaxis()
    axes.set_xlabel("ms (estimated); dashed: lower bound")
    axes.spines[["top", "right"]].set_visible(False)
    _explain_colours(axes, plan)
    drawn = io.BytesIO()
    metadata = {"Date": None} if path.suffix == ".svg" else None
    figure.savefig(drawn, format=path.suffix[1:], metadata=metadata, dpi=150)
    write_bytes(path, drawn.getvalue())


def _rows(sends: Iterable[Timed]) -> dict[tuple[int, str], list[_Bar]]:
    """What every port that is used does, by host, sending first."""
    rows: dict[tuple[int, str], list[_Bar]] = defaultdict(list)
    for one in sends:
        bars = _bars(one)
        rows[one.send.from_host, "sends"] += bars
        rows[one.send.to_host, "receives"] += bars
    ports = sorted(rows, key=lambda port: (port[0], port[1] == "receives"))
    return {port: sorted(rows[port]) for port in ports}


def _bars(one: Timed) -> list[_Bar]:
    """A message may carry bytes of several classes: each has its part of the time."""
    found = []
    start_s, per_byte_s = one.start_s, (one.end_s - one.start_s) / one.send.num_bytes
    for segment in one.send.segments:
        found.append((start_s, per_byte_s * segment.num_bytes, segment.transfer_class))
        start_s += found[-1][1]
    return found


def _together(bars: Iterable[_Bar]) -> list[_Bar]:
    """Bars of one class that follow each other without a gap, as one."""
    found: list[_Bar] = []
    for start_s, seconds, transfer_class in bars:
        if found:
            first_s, before_s, last_class = found[-1]
            if last_class == transfer_class and start_s <= first_s + before_s * _NO_GAP:
                found[-1] = (first_s, start_s + seconds - first_s, transfer_class)
                continue
        found.append((start_s, seconds, transfer_class))
    return found


def _draw(axes: Axes, row: int, bars: Sequence[_Bar], *, is_apart: bool) -> None:
    axes.broken_barh(
        [(1e3 * start_s, 1e3 * seconds) for start_s, seconds, _ in bars],
        (row - 0.4, 0.8),
        facecolors=[_COLOURS[number % len(_COLOURS)] for _, _, number in bars],
        linewidth=0.2 if is_apart else 0.0,
        rasterized=not is_apart,
        edgecolor="white",
    )


def _explain_colours(axes: Axes, plan: TransferPlan) -> None:
    """Which bytes a colour stands for, where every class has its own."""
    from matplotlib.patches import Patch

    if not 0 < len(plan.classes) <= len(_COLOURS):
        return
    marks = [
        Patch(color=colour, label=f"{_hosts(one.senders)} to {_hosts(one.receivers)}")
        for colour, one in zip(_COLOURS, plan.classes, strict=False)
    ]
    axes.figure.legend(
        handles=marks, title="bytes of hosts", loc="outside upper center", ncols=4, frameon=False
    )


def _hosts(hosts: Sequence[int]) -> str:
    return ", ".join(map(str, hosts[:4])) + (", ..." if len(hosts) > 4 else "")
