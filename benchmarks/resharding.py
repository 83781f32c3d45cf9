"""The microbenchmarks of the resharding paper: every strategy and scheduler beside our plan and the bound.

Estimated by the alpha-beta model at 10 Gb/s a host (the paper's machines), no latency; nothing is moved.

    python -m benchmarks.resharding --cases "$DATA/resharding/cases.json" --out folder
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resharding.baselines.schedulers import SCHEDULERS, makespan_s
from resharding.baselines.strategies import STRATEGIES
from resharding.baselines.tasks import tasks_of
from resharding.moves import Move, Placed, on_hosts
from resharding.network import Network
from resharding.planner import plan_transfer
from statmux.reporting.figures import Figure, Series, write_figure
from vocabulary.sharding import Sharding

NETWORK = Network(1.25e9, intra_bytes_per_s=100e9, latency_s=0.0)
ITEM_BYTES = 4
SUITES = {"n_to_m": "several hosts to several", "1_to_m": "one device to several hosts"}
OURS = "statmux"
# What the paper draws: strategies with its best scheduler, schedulers with its best strategy.
VIEWS = {
    "strategies": tuple(f"{strategy}, greedy" for strategy in STRATEGIES),
    "schedulers": tuple(f"broadcast, {scheduler}" for scheduler in SCHEDULERS),
}


@dataclass(frozen=True, slots=True)
class Case:
    """ways_s: seconds by strategy and scheduler, and of our plan."""

    name: str
    suite: str
    bound_s: float
    ways_s: Mapping[str, float]
    plan_ms: float


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--cases", type=Path, required=True, help="the paper's cases (JSON)")
    options.add_argument("--out", type=Path, help="a folder for the figures and rows.json")
    chosen = options.parse_args()
    cases = [measure(one) for one in json.loads(chosen.cases.read_text())["cases"]]
    print(table(cases))
    if chosen.out:
        write(cases, chosen.out)
    return 0


def measure(document: Mapping[str, Any]) -> Case:
    move = move_of(document)
    plan_transfer([move], NETWORK)
    plan = plan_transfer([move], NETWORK)
    tasks = tasks_of([move])
    ways_s = {
        f"{strategy}, {scheduler}": makespan_s(tasks, NETWORK, strategy=strategy, scheduler=scheduler)
        for strategy in STRATEGIES
        for scheduler in SCHEDULERS
    }
    suite = document.get("suite", "n_to_m")
    ways_s[OURS] = plan.makespan_s
    return Case(document["name"], suite, plan.lower_bound_s, ways_s, 1e3 * plan.plan_s)


def move_of(document: Mapping[str, Any]) -> Move:
    """A case of the file: meshes as (hosts, devices), specs as the axes `h` and `d` of each dimension."""
    source, target = document["src_mesh"], document["dst_mesh"]
    return Move(
        tuple(document["shape"]),
        ITEM_BYTES,
        _placed(source, document["src_spec"], range(source[0])),
        (_placed(target, document["dst_spec"], range(source[0], source[0] + target[0])),),
    )


def _placed(mesh: tuple[int, int], spec: Iterable[str], hosts: Iterable[int]) -> Placed:
    axes = (("h", mesh[0]), ("d", mesh[1]))
    return Placed(Sharding(axes, tuple(tuple(dim) for dim in spec)), on_hosts(tuple(hosts), mesh[1]))


def table(cases: list[Case]) -> str:
    """Estimated time by lower bound: cases down, ways across."""
    ways = [*dict.fromkeys(way for view in VIEWS.values() for way in view), OURS]
    lines = [f"| case | bound (s) | {' | '.join(ways)} | planned in |", "|---" * (len(ways) + 3) + "|"]
    for case in cases:
        ratios = " | ".join(f"{case.ways_s[way] / case.bound_s:.3f}" for way in ways)
        lines.append(f"| {case.name} | {case.bound_s:.3f} | {ratios} | {case.plan_ms:.1f} ms |")
    return "\n".join(lines)


def write(cases: list[Case], folder: Path) -> None:
    """<suite>_<view>.svg, .png and .csv, and all numbers as rows.json."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"case": case.name, "bound_s": case.bound_s, "plan_ms": case.plan_ms, **case.ways_s} for case in cases
    ]
    (folder / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    for suite in dict.fromkeys(case.suite for case in cases):
        of_suite = [case for case in cases if case.suite == suite]
        for view, ways in VIEWS.items():
            figure = suite_figure(suite, of_suite, (*ways, OURS))
            for suffix in (".svg", ".png", ".csv"):
                write_figure(folder / f"{suite}_{view}{suffix}", figure)


def suite_figure(suite: str, cases: list[Case], ways: tuple[str, ...]) -> Figure:
    """A line for each way; the bound is 1."""
    x = np.arange(1, len(cases) + 1)
    lines = [Series(way, x, np.array([case.ways_s[way] / case.bound_s for case in cases])) for way in ways]
    title = f"Resharding, {SUITES.get(suite, suite)} (estimated)"
    return Figure(
        title, f"case ({', '.join(case.name for case in cases)})", "time by bound", tuple(lines), y_log=True
    )


if __name__ == "__main__":
    sys.exit(main())
