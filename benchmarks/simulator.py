"""How fast simulation is: lanes, the compiled scorer, the command line, and the event simulator.

    python -m benchmarks.simulator --data "$DATA" --rounds 5 --out simulator.json

Every round takes one sample of everything, so that what else the machine does falls on all alike; figures are
medians. `by CPU` is the same by processor time, summed over threads: on a machine that others use, it comes
near what the clock says on an idle one. What says `process` runs in one of its own, for its memory or its
start. Without --data the published workloads are left out. The artifact's figures are those of its own code,
on a machine of two cores that was not idle either: read ratios, not absolute values.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.simulator_measures import RATE, SECONDS, Measure, probes
from simulator.fast import load_compiler


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, help="folder with alpaserve/")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--long", action="store_true", help="the event simulator on 10 million requests too")
    options.add_argument("--only", default="", help="measures whose name contains this")
    options.add_argument("--out", type=Path, help="JSON of all samples")
    chosen = options.parse_args()
    load_compiler()
    with TemporaryDirectory(prefix="simulator-") as folder:
        measures = measure(Path(folder), chosen)
    print(table(measures))
    if chosen.out:
        chosen.out.write_text(json.dumps(document(measures), indent=1) + "\n")
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> list[Measure]:
    """All rounds, with a line of progress a sample. Raises CalledProcessError when a process fails."""
    found = [
        probe
        for probe in probes(folder, data=chosen.data, is_long=chosen.long)
        if any(chosen.only in one.name for one in probe.measures)
    ]
    for probe in found:
        if not probe.is_own_process:
            probe.run()  # compiles, and fills buffers
    for round_index in range(chosen.rounds):
        for probe in found:
            probe.sample()
            for one in probe.measures:
                print(
                    f"round {round_index + 1}: {one.name}: {_figure(one, one.samples[-1])}", file=sys.stderr
                )
    return [one for probe in found for one in probe.measures]


def table(measures: Sequence[Measure]) -> str:
    """What a person reads, as Markdown."""
    lines = ["| what | median | range | by CPU | bar | | artifact |", "|---|---|---|---|---|---|---|"]
    for one in measures:
        bound = "at least " if one.unit == RATE else "below "
        cells = (
            one.name,
            _figure(one, one.median),
            f"{_figure(one, min(one.samples))} to {_figure(one, max(one.samples))}",
            "" if one.cpu_median is None else _figure(one, one.cpu_median),
            "" if one.bar is None else bound + _figure(one, one.bar),
            {None: "", True: "met", False: "missed"}[one.is_met],
            "" if one.artifact is None else _figure(one, one.artifact),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def document(measures: Sequence[Measure]) -> dict[str, Any]:
    """What --out holds."""
    return {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": os.getloadavg(),
        "measures": [vars(one) | {"median": one.median, "is_met": one.is_met} for one in measures],
    }


def _figure(measure: Measure, value: float) -> str:
    if measure.unit == RATE:
        return f"{value / 1e6:.1f} M/s" if value >= 1e6 else f"{value:,.0f}/s"
    return f"{value:.2f} s" if measure.unit == SECONDS else f"{value:.2f} GiB"


if __name__ == "__main__":
    sys.exit(main())
