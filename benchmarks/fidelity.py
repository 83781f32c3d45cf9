"""Simulated against served, on a real trace: the emulated engine under w1's plan, at ten SLO scales.

Ten minutes of the Azure LLM conversation trace, requests dealt to the models in turn, replayed `--speed`
times faster on w1's placement with its profile scaled down in time. The simulation uses a fixed overhead
measured beforehand with lone requests (`bench --calibrate`), not fitted to the replays. Every number is
emulated: real processes and sockets, stages that sleep.

    python -m benchmarks.fidelity --data "$DATA" --out fidelity.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet
import yaml

from vocabulary.formats.disk import write_trace
from vocabulary.trace import Trace

# SLO scales of AlpaServe's Table 2, in single-device latencies; the deployment's SLO is five of them.
SCALES = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10)
DEPLOYMENT_SCALE = 5
WORKLOAD = "w1-8gpu-8x2.6b"
PLAN = "plan.mp-search.yaml"
GRPC_PORT, METRICS_PORT = 8401, 8402


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with alpaserve/ and traces/")
    options.add_argument("--minutes", type=float, default=10.0, help="of the trace")
    options.add_argument("--speed", type=float, default=18.0, help="replay so many times faster")
    options.add_argument(
        "--stretch", type=float, default=1 / 3, help="factor on w1's stage latencies and SLOs"
    )
    options.add_argument("--scales", type=float, nargs="+", default=list(SCALES))
    options.add_argument("--out", type=Path, help="JSON of all runs")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="fidelity-") as folder:
        document = measure(Path(folder), chosen)
    print(table(document))
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Serve, calibrate, replay at every scale. Raises CalledProcessError when a command fails."""
    models = write_fleet(folder, chosen.data / "alpaserve", chosen.stretch)
    source = chosen.data / "traces" / "azure_llm_2023" / "conv.parquet"
    trace = real_trace(source, models, minutes=chosen.minutes, speed=chosen.speed)
    write_trace(folder / "trace.csv", trace)
    fleet = subprocess.Popen(_command("serve", "deployment.yaml", "--plan", "plan.yaml"), cwd=folder)
    try:
        _run(folder, "status", "--wait", "ready", "--quiet")
        calibration = _run(folder, *_bench(), "--calibrate", "200")
        overhead = f"simulation.fixed_overhead_s={calibration['fixed_overhead_s']}"
        scales = ",".join(f"{scale / DEPLOYMENT_SCALE:g}" for scale in chosen.scales)
        sweep = _run(folder, *_bench(), "--trace", "trace.csv", "--slo-scale", scales, "--set", overhead)
        _run(folder, "stop", "--wait")
        fleet.wait(60)
    finally:
        fleet.terminate()
        fleet.wait(60)
    rate_rps = len(trace) / trace.duration_s
    return {"calibration": calibration, "num_requests": len(trace), "rate_rps": rate_rps, "sweep": sweep}


def write_fleet(folder: Path, alpaserve: Path, stretch: float) -> list[str]:
    """w1 with its latencies and SLOs stretched, emulated; returns the model names."""
    deployment = yaml.safe_load((alpaserve / WORKLOAD / "deployment.yaml").read_text())
    profile = json.loads((alpaserve / "profiles" / "bert-2.6b.json").read_text())
    for entry in profile["entries"]:
        latencies = entry["stage_latency_s"]
        entry["stage_latency_s"] = {size: [s * stretch for s in stages] for size, stages in latencies.items()}
    for model in deployment["models"]:
        model.update(profile="profile.json", engine="emulated")
        model["slo"]["latency_ms"] *= stretch
    deployment["endpoints"] = {"grpc": {"port": GRPC_PORT}}
    deployment["observability"] = {"metrics": {"port": METRICS_PORT}}
    (folder / "profile.json").write_text(json.dumps(profile))
    (folder / "deployment.yaml").write_text(yaml.safe_dump(deployment))
    shutil.copy(alpaserve / WORKLOAD / PLAN, folder / "plan.yaml")
    return [model["name"] for model in deployment["models"]]


def real_trace(path: Path, models: list[str], *, minutes: float, speed: float) -> Trace:
    """The first minutes of a trace with a column `t` (seconds), dealt to the models in turn."""
    arrival_s = np.sort(pyarrow.parquet.read_table(path, columns=["t"])["t"].to_numpy())
    arrival_s = arrival_s[arrival_s <= arrival_s[0] + 60 * minutes] - arrival_s[0]
    turns = (np.arange(len(arrival_s)) % len(models)).astype(np.int32)
    return Trace(arrival_s / speed, turns, tuple(models))


def table(document: dict[str, Any]) -> str:
    sweep, calibration = document["sweep"], document["calibration"]
    runs = sweep.get("runs", [sweep])
    lines = [
        f"{document['num_requests']} requests at {document['rate_rps']:.1f}/s a run; fixed overhead "
        f"{calibration['fixed_overhead_s'] * 1e3:.2f} ms (separate run of {calibration['num_requests']})",
        "",
        "| SLO scale | simulated | measured (emulated) | points |",
        "|---|---|---|---|",
    ]
    differences = []
    for run in runs:
        difference = run["difference_points"]
        differences.append(abs(difference))
        lines.append(
            f"| {run['slo_scale'] * DEPLOYMENT_SCALE:g} | {run['slo_attainment_simulated']:.2%} "
            f"| {run['slo_attainment']:.2%} | {difference:+.2f} |"
        )
    mean = sum(differences) / len(differences)
    return "\n".join(
        [*lines, "", f"mean absolute difference {mean:.2f} points, largest {max(differences):.2f}"]
    )


def _bench() -> tuple[str, ...]:
    return ("bench", "deployment.yaml", "--plan", "plan.yaml")


def _run(folder: Path, *words: str) -> dict[str, Any]:
    answer = subprocess.run(_command(*words, "-o", "json"), cwd=folder, check=True, stdout=subprocess.PIPE)
    return json.loads(answer.stdout)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "statmux.main", *words]


if __name__ == "__main__":
    sys.exit(main())
