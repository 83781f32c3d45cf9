"""`python -m tests.fuzz --inputs 1000000 --seed 1`: all targets by their weights, and a table."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from tests.fuzz.file_targets import file_targets
from tests.fuzz.runner import Report, Target, fuzz
from tests.fuzz.wire_targets import wire_targets

# What is mutated differently each time fills caches a little longer than the runner waits.
MAX_GROWTH_BYTES = 64 * 2**20

_HEADINGS = f"{'target':24} {'inputs':>9} {'refused':>9} {'kinds':>6} {'longest':>9} {'growth':>9}  findings"


def main() -> int:
    """0 if no target did anything but take its inputs or refuse them."""
    asked = _arguments()
    targets = [one for one in (*wire_targets(), *file_targets()) if asked.only in one.name]
    reports = []
    print(
        f"{'target':24} {'inputs':>9} {'refused':>9} {'kinds':>6} {'longest':>9} {'growth':>9}  findings",
        flush=True,
    )
    for target, num_inputs in zip(targets, shares(targets, asked.inputs), strict=True):
        report = fuzz(target, num_inputs=num_inputs, seed=asked.seed, sees_growth=True)
        reports.append(report)
        print(_line(report), flush=True)
        for number, finding in enumerate(report.findings):
            print(f"    {finding.words}\n    {finding.data[:200]!r}", flush=True)
            _keep(asked.keep, f"{target.name.replace(' ', '-')}-{number}", finding.data)
    total, seconds = sum(one.num_inputs for one in reports), sum(one.seconds for one in reports)
    bad = sum(bool(one.findings) or one.growth_bytes > MAX_GROWTH_BYTES for one in reports)
    print(
        f"{total} inputs in {seconds:.0f} s, seed {asked.seed}: {bad} of {len(reports)} targets with findings"
    )
    return min(bad, 1)


def shares(targets: list[Target], num_inputs: int) -> list[int]:
    """How many inputs each gets: at least its own samples."""
    whole = sum(target.weight for target in targets)
    return [max(round(num_inputs * target.weight / whole), len(target.samples)) for target in targets]


def _line(report: Report) -> str:
    return (
        f"{report.target:24} {report.num_inputs:9} {report.num_refused:9} {report.num_kinds:6} "
        f"{report.longest_s * 1e3:6.0f} ms {report.growth_bytes / 2**20:5.1f} MiB  "
        f"{len(report.findings) or '-'}"
    )


def _keep(folder: Path | None, name: str, data: bytes) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="targets whose name holds this")
    parser.add_argument("--keep", type=Path, help="folder for inputs that found something")
    return parser.parse_args()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("STATMUX_LOG_LEVEL", "error")
    sys.exit(main())
