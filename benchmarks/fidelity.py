"""Simulated against served, as AlpaServe's Table 2: two placements, ten SLO scales, emulated engine.

A part of the published test trace of a workload (Gamma, CV 4), at its own speed and latencies, on
plan.sr-greedy and plan.mp-search. For each placement one fleet is started to calibrate the fixed overhead:
part of the training trace is replayed, and the overhead is the median of what its requests take beyond queue
and stages. Another fleet then admits with it, and the simulation uses the same number. Nothing is fitted to
the replays. Every number is emulated: real processes and sockets, stages that sleep.

    python -m benchmarks.fidelity --data "$DATA" --out fidelity.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from vocabulary.formats.disk import load_trace, write_trace
from vocabulary.trace import Trace

# SLO scales of AlpaServe's Table 2, in single-device latencies; the deployment's SLO is five of them.
SCALES = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10)
DEPLOYMENT_SCALE = 5
PLANS = ("sr-greedy", "mp-search")
# Table 2 is measured on 16 devices with 24 models of 2.6 billion parameters.
WORKLOAD = "w3-16gpu-24x2.6b"
GRPC_PORT, METRICS_PORT = 8401, 8402
# What was asked of the mean and the largest absolute difference, in points of attainment.
MEAN_BAR_POINTS, MAX_BAR_POINTS = 0.4, 1.2
# The generator starts every model's process at 0, so the trace begins with one burst of all models; the
# artifact leaves out its first ten seconds too.
SETTLED_S = 10.0
CALIBRATED_S = 20.0


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with alpaserve/")
    options.add_argument("--workload", default=WORKLOAD, help="a folder of alpaserve/")
    options.add_argument("--plans", nargs="+", default=list(PLANS))
    options.add_argument("--scales", type=float, nargs="+", default=list(SCALES))
    options.add_argument("--seconds", type=float, default=30.0, help="of the trace, replayed at every scale")
    options.add_argument("--records", type=Path, help="keep a run record of every point in this folder")
    options.add_argument("--out", type=Path, help="JSON of all runs")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="fidelity-") as folder:
        document = measure(Path(folder), chosen)
    print(table(document))
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Calibrate and replay every plan. Raises CalledProcessError when a command fails."""
    workload = (chosen.data / "alpaserve" / chosen.workload).resolve()
    models = write_fleet(folder, workload)
    trace = window(load_trace(workload / "test.csv.gz", models=models), chosen.seconds)
    write_trace(folder / "trace.csv", trace)
    train = window(load_trace(workload / "train.csv.gz", models=models), CALIBRATED_S)
    write_trace(folder / "train.csv", train)
    return {
        "workload": chosen.workload,
        "num_requests": len(trace),
        "rate_rps": len(trace) / trace.duration_s,
        "plans": {plan: _plan(folder, workload / f"plan.{plan}.yaml", chosen) for plan in chosen.plans},
    }


def write_fleet(folder: Path, workload: Path) -> tuple[str, ...]:
    """The workload's deployment, emulated, on ports of its own; returns the model names."""
    deployment = yaml.safe_load((workload / "deployment.yaml").read_text())
    for model in deployment["models"]:
        model.update(profile=str((workload / model["profile"]).resolve()), engine="emulated")
    deployment["endpoints"] = {"grpc": {"port": GRPC_PORT}}
    deployment["observability"] = {"metrics": {"port": METRICS_PORT}}
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    return tuple(model["name"] for model in deployment["models"])


def window(trace: Trace, seconds: float) -> Trace:
    """The requests of that much time, from SETTLED_S on."""
    taken = trace.take((trace.arrival_s >= SETTLED_S) & (trace.arrival_s < SETTLED_S + seconds))
    return replace(taken, arrival_s=taken.arrival_s - taken.arrival_s[0])


def _plan(folder: Path, plan: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    fleet = ("deployment.yaml", "--plan", str(plan))
    with served(folder, *fleet):
        calibration = run(folder, "bench", *fleet, "--trace", "train.csv")["observed_overhead"]
    overhead = ("--set", f"simulation.fixed_overhead_s={calibration['fixed_overhead_s']}")
    runs = []
    with served(folder, *fleet, *overhead):
        for scale in chosen.scales:
            words = ("--trace", "trace.csv", "--slo-scale", f"{scale / DEPLOYMENT_SCALE:g}", *overhead)
            if chosen.records:
                record = (chosen.records / f"{plan.name.split('.')[1]}-{scale:g}").resolve()
                words += ("--record", str(record))
            runs.append({"table_scale": scale, **run(folder, "bench", *fleet, *words)})
    return {"calibration": calibration, "runs": runs}


@contextmanager
def served(folder: Path, *words: str) -> Iterator[None]:
    """`statmux serve WORDS` in the folder: ready inside, stopped after."""
    command = _command("serve", *words, "--quiet")
    serving = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    try:
        run(folder, "status", "--wait", "ready", "--quiet")
        yield
        run(folder, "stop", "--wait")
        serving.wait(60)
    finally:
        serving.terminate()
        serving.wait(60)


def table(document: dict[str, Any]) -> str:
    """Markdown; ends with the bars."""
    lines = [
        f"{document['workload']}: {document['num_requests']} requests at {document['rate_rps']:.1f}/s a run"
    ]
    differences = []
    for plan, one in document["plans"].items():
        calibration = one["calibration"]
        lines += [
            "",
            f"{plan}, fixed overhead {calibration['fixed_overhead_s'] * 1e3:.2f} ms (quartiles "
            f"{calibration['lower_quartile_s'] * 1e3:.2f} to {calibration['upper_quartile_s'] * 1e3:.2f}):",
            "",
            "| SLO scale | simulated | measured (emulated) | points |",
            "|---|---|---|---|",
            *[_row(run) for run in one["runs"]],
        ]
        differences += [abs(run["difference_points"]) for run in one["runs"]]
    mean, largest = sum(differences) / len(differences), max(differences)
    return "\n".join([
        *lines,
        "",
        f"{len(differences)} points: mean absolute difference {mean:.2f} points (bar {MEAN_BAR_POINTS}, "
        f"{_met(mean <= MEAN_BAR_POINTS)}), largest {largest:.2f} (bar {MAX_BAR_POINTS}, "
        f"{_met(largest <= MAX_BAR_POINTS)})",
    ])  # fmt: skip


def _row(run: dict[str, Any]) -> str:
    return (
        f"| {run['table_scale']:g} | {run['slo_attainment_simulated']:.2%} | {run['slo_attainment']:.2%} "
        f"| {run['difference_points']:+.2f} |"
    )


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def run(folder: Path, *words: str) -> dict[str, Any]:
    """`statmux WORDS -o json` in the folder. Raises CalledProcessError."""
    answer = subprocess.run(_command(*words, "-o", "json"), cwd=folder, check=True, stdout=subprocess.PIPE)
    return json.loads(answer.stdout)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "statmux.main", *words]


if __name__ == "__main__":
    sys.exit(main())
