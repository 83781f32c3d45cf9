"""AlpaServe's evaluation again: attainment against devices, rate, CV and SLO scale, as the paper's figures.

Four policies (our search, AlpaServe's, Clockwork++ as the oracle that the paper made of it, selective
replication) on synthetic Gamma traffic and on minutes of the Azure Functions 2019 trace. Everything is
simulated, under the artifact's latency terms and our default router. A plan is found on one draw of the
traffic and scored on another; Clockwork++ plans on the windows that it is scored on. Azure Functions 2021 is
not at hand as a trace, so its columns of the paper's figures are not reproduced.

    python -m benchmarks.alpaserve_paper --data "$DATA" --out folder      # about 15 minutes on 2 cores
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.paper.figures import draw
from benchmarks.paper.policies import POLICIES, scored
from benchmarks.paper.setting import Setting, azure_2019, fleet, invocation_counts, profiles_in, synthetic
from vocabulary.trace import Trace

TRAIN_SEED, TEST_SEED = 0, 1000
SIZES = {
    # name: (models of each of six kinds, devices, requests/s, seconds of traffic, device counts)
    "small": (4, 16, 24.0, 1200.0, (8, 16, 24, 32, 40)),
    "paper": (12, 40, 64.0, 1200.0, (16, 24, 32, 40, 48, 56, 64, 72, 96)),
}
RATE_SCALES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
CVS = {"synthetic": (1.0, 2.0, 3.0, 4.0, 6.0, 8.0), "azure-2019": (1.0, 2.0, 3.0, 4.0, 6.0)}
SLO_SCALES = (1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
BASE_CV = {"synthetic": 4.0, "azure-2019": 4.0}
BASE_SLO_SCALE = 5.0


@dataclass(frozen=True, slots=True)
class Point:
    traffic: str
    axis: str
    value: float
    policy: str
    setting: Setting


@dataclass(frozen=True, slots=True)
class Row:
    traffic: str
    axis: str
    value: float
    policy: str
    attainment: float
    seconds: float


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with alpaserve/ and traces/")
    options.add_argument("--out", type=Path, required=True, help="folder for rows.json and the figures")
    options.add_argument("--size", choices=SIZES, default="paper")
    options.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    options.add_argument("--traffic", nargs="+", choices=CVS, default=list(CVS))
    options.add_argument("--processes", type=int, default=2)
    chosen = options.parse_args()
    points = list(points_of(chosen.size, chosen.traffic, chosen.policies))
    rows = run(points, chosen.data, chosen.processes)
    chosen.out.mkdir(parents=True, exist_ok=True)
    document = {"size": chosen.size, "rows": [asdict(row) for row in rows]}
    (chosen.out / "rows.json").write_text(json.dumps(document, indent=1) + "\n")
    draw(document["rows"], chosen.out)
    print("\n\n".join(tables(document["rows"])))
    return 0


def points_of(size: str, traffics: Iterable[str], policies: Iterable[str]) -> Iterable[Point]:
    """The four sweeps round the base of each kind of traffic, the slow policies first."""
    models_of_each, num_devices, rate_rps, duration_s, device_counts = SIZES[size]
    for policy in policies:
        for traffic in traffics:
            base = Setting(
                num_devices, models_of_each, rate_rps, BASE_CV[traffic], BASE_SLO_SCALE, duration_s
            )
            sweeps = {
                "devices": {n: replace(base, num_devices=n) for n in device_counts},
                "rate_scale": {x: replace(base, rate_rps=x * rate_rps) for x in RATE_SCALES},
                "cv_scale": {x: replace(base, cv=x) for x in CVS[traffic]},
                "slo_scale": {x: replace(base, slo_scale=x) for x in SLO_SCALES},
            }
            for axis, settings in sweeps.items():
                for value, setting in settings.items():
                    yield Point(traffic, axis, value, policy, setting)


def run(points: list[Point], data: Path, processes: int) -> list[Row]:
    """Each point in one of `processes` processes; rows in the order of the points."""
    context = multiprocessing.get_context("spawn")
    rows: dict[Point, Row] = {}
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        futures = [pool.submit(measure, point, data) for point in points]
        for number, future in enumerate(as_completed(futures), start=1):
            point, row = future.result()
            rows[point] = row
            if number % 10 == 0 or number == len(points):
                print(f"{number} of {len(points)} points", file=sys.stderr)
    return [rows[point] for point in points]


def measure(point: Point, data: Path) -> tuple[Point, Row]:
    deployment = fleet(point.setting, profiles_in(data / "alpaserve" / "profiles"))
    train, test = (traffic(point, deployment.model_names, data, seed) for seed in (TRAIN_SEED, TEST_SEED))
    score = scored(point.policy, deployment, train, test)
    return point, Row(point.traffic, point.axis, point.value, point.policy, score.attainment, score.seconds)


def traffic(point: Point, models: tuple[str, ...], data: Path, seed: int) -> Trace:
    if point.traffic == "synthetic":
        return synthetic(point.setting, models, seed=seed)
    return azure_2019(invocation_counts(data / "traces"), point.setting, models, seed=seed)


def tables(rows: list[dict[str, Any]]) -> Iterable[str]:
    """One Markdown table for each sweep: values down, policies across."""
    for traffic_name, axis in dict.fromkeys((row["traffic"], row["axis"]) for row in rows):
        of_sweep = [row for row in rows if (row["traffic"], row["axis"]) == (traffic_name, axis)]
        policies = list(dict.fromkeys(row["policy"] for row in of_sweep))
        found = {(row["value"], row["policy"]): row["attainment"] for row in of_sweep}
        lines = [
            f"| {traffic_name}: {axis} | {' | '.join(policies)} |",
            "|---|" + "---|" * len(policies),
        ]
        for value in dict.fromkeys(row["value"] for row in of_sweep):
            cells = " | ".join(f"{found[value, policy]:.2%}" for policy in policies)
            lines.append(f"| {value:g} | {cells} |")
        yield "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
