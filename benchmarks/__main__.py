"""Runs benchmarks, shows their tables, keeps them as JSON and compares with what was kept before.

    python -m benchmarks                     # the quick set: some minutes on two cores
    python -m benchmarks simulator --runs 3  # one, three times over
    python -m benchmarks --keep              # to benchmarks/results, for later comparisons

Ends with 1 where a benchmark printed no table, never because of times.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.catalogue import BENCHMARKS, NOISE, Benchmark, fresh_folder
from benchmarks.compare import compare, report
from benchmarks.results import KEPT, ROOT, Result, provenance, read, write
from benchmarks.tables import Table, tables_in


def main() -> int:
    options = _options()
    failed: list[str] = []
    for one in _chosen(options.names):
        result = run(one, command_of(one, data=options.data), num_runs=options.runs)
        if result is None:
            failed.append(one.name)
            continue
        kept = KEPT / f"{one.name}.json"
        if kept.exists():
            found = compare(read(kept), result, noise=NOISE.get(one.name, NOISE[""]))
            print(f"\n{report([found], shows_all=False)}\n", flush=True)
        path = write(result, KEPT if options.keep else options.out)
        print(f"{one.name}: {sum(result.seconds):.0f} s, {path}", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def command_of(one: Benchmark, *, data: Path | None) -> list[str]:
    """data: the folder for benchmarks that read traces."""
    command = [sys.executable, "-m", f"benchmarks.{one.name}", *one.arguments]
    return [*command, "--data", str(data)] if data is not None and one.needs_data else command


def run(one: Benchmark, command: list[str], *, num_runs: int) -> Result | None:
    """All runs of one, shown as they come; None where one printed no table.

    Some end with 1 where a bar was missed: that is said, and no failure.
    """
    here = provenance()
    seconds: list[float] = []
    runs: list[tuple[Table, ...]] = []
    for _ in range(num_runs):
        begin_s = time.monotonic()
        code, said = _shown(command)
        if not tables_in(said):
            return None
        if code:
            print(f"{one.name} ended with {code}: a bar was missed, or it broke off", file=sys.stderr)
        seconds.append(round(time.monotonic() - begin_s, 1))
        runs.append(tables_in(said))
    return Result(one.name, one.command, here, tuple(seconds), tuple(runs))


def _shown(command: list[str]) -> tuple[int, str]:
    """How a program ended, and what it printed, which is passed on line by line."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return process.returncode, "".join(lines)


def _chosen(names: list[str]) -> list[Benchmark]:
    """Those of the names, the quick set without any; one that the catalogue has not runs as it is."""
    known = {one.name: one for one in BENCHMARKS}
    if not names:
        return [one for one in BENCHMARKS if one.is_quick]
    return [known.get(name, Benchmark(name, needs_data=True)) for name in names]


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", help="the quick set without any")
    options.add_argument("--runs", type=int, default=1, help="of each, for medians and their spread")
    options.add_argument(
        "--data", type=Path, help="folder with alpaserve/ and traces/, for those that read it"
    )
    options.add_argument("--out", type=Path, default=fresh_folder(), help="folder for the JSON")
    options.add_argument("--keep", action="store_true", help=f"write to {KEPT.relative_to(ROOT)} instead")
    return options.parse_args()


if __name__ == "__main__":
    sys.exit(main())
