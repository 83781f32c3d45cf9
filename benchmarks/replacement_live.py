"""`benchmarks.replacement` on real processes: the emulated engine serves, sockets carry, the journal counts.

The same two windows with shorter minutes. A fleet that keeps its plan, and one with `placement.replan: drift`
are asked by `statmux bench`, and judged by their journals, where every answer has a line.

    python -m benchmarks.replacement_live --data "$DATA" --out folder
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import yaml

from benchmarks.fidelity import served
from benchmarks.replacement import WORST_S, Case, case_of, options_of
from placement.search import planned, search
from simulator.fast_or_events import outcomes_of
from vocabulary.formats.disk import write_plan, write_trace

GRPC_PORT, HTTP_PORT, METRICS_PORT = 8411, 8412, 8413
_STATMUX = (sys.executable, "-P", "-m", "statmux.main")
REFUSED = ("unavailable", "lost", "failed", "not_placed")


def main() -> int:
    parser = options_of(__doc__)
    parser.set_defaults(devices=8, models=12, rate=10.0, minutes=10, minute_s=6.0, window_s=30.0)
    parser.set_defaults(interval_s=10.0, horizon_s=120.0, budget_s=3.0, store=1e10)
    options = parser.parse_args()
    case = case_of(options.data, options)
    assert options.out is not None, "--out names a folder for the fleets"
    rows = []
    for trigger in ("manual", "drift"):
        folder = options.out.resolve() / trigger
        predicted = written(folder, case, options, trigger)
        with served(folder, "deployment.yaml", "--plan", "plan.yaml"):
            words = ("deployment.yaml", "--plan", "plan.yaml", "--trace", "trace.csv", "--timeout", "30s")
            asked = subprocess.run(
                [*_STATMUX, "bench", *words, "-o", "json", "--quiet"], cwd=folder, stdout=subprocess.PIPE
            )
        print(f"bench ended with {asked.returncode}")
        rows.append(row_of(folder, trigger, case, predicted))
        print(rows[-1], flush=True)
    (options.out / "rows.json").write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def written(folder: Path, case: Case, options: object, trigger: str) -> float:
    """The files of a fleet; the attainment that the simulator predicts for a plan that stays."""
    folder.mkdir(parents=True, exist_ok=True)
    profiles = (options.data / "alpaserve" / "profiles").resolve()
    names = ("window_s", "interval_s", "horizon_s", "min_gain")
    node = case.deployment.cluster.nodes[0]
    latency = case.deployment.latency
    document = {
        "metadata": {"name": f"replaced-{trigger}"},
        "cluster": {
            "nodes": [{
                "name": node.name, "count": node.count,
                "devices": {
                    "type": node.device_type, "count": node.devices_per_host, "memory": node.memory_bytes,
                },
            }]
        },
        "models": [
            {
                "name": model.name, "engine": "emulated", "slo": {"latency_ms": model.slo.latency_s * 1e3},
                "profile": str(profiles / f"{model.name.split('-', 1)[1]}.json"),
            }
            for model in case.deployment.models
        ],
        "placement": {
            "replan": {"trigger": trigger, **{name: getattr(options, name) for name in names}},
            "search": {"time_budget_s": options.budget_s},
        },
        "endpoints": {"grpc": {"port": GRPC_PORT}, "http": {"port": HTTP_PORT}},
        "observability": {"metrics": {"port": METRICS_PORT}},
        "simulation": {
            "stage_scale_per_stage": latency.stage_scale_per_stage,
            "fixed_overhead_s": latency.fixed_overhead_s,
        },
    }  # fmt: skip
    (folder / "deployment.yaml").write_text(yaml.safe_dump(document))
    found = search(case.deployment, case.train)
    write_plan(folder / "plan.yaml", planned(found, case.deployment, case.train))
    write_trace(folder / "trace.csv", case.test)
    return float(outcomes_of(found.placement, case.test, deployment=case.deployment).good.mean())


def row_of(folder: Path, trigger: str, case: Case, predicted: float) -> dict[str, object]:
    """From the journal: attainment in all, before and after the change of traffic, and in the worst 10 s."""
    path = next((folder / ".statmux").glob("*/journal.db"))
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT unix_s, latency_s, fate, slo_s FROM request ORDER BY unix_s"
        ).fetchall()
        events = connection.execute("SELECT unix_s, kind, words FROM event WHERE kind = 'replan'").fetchall()
        loads = connection.execute("SELECT count(*) FROM event WHERE kind = 'load'").fetchone()[0]
    arrival_s = np.array([row[0] for row in rows]) - rows[0][0]
    good = np.array([row[2] == "served" and row[1] <= row[3] + 1e-6 for row in rows])
    window = (arrival_s // WORST_S).astype(int)
    counts = np.bincount(window)
    shares = np.bincount(window, weights=good)[counts >= 20] / counts[counts >= 20]
    is_first = arrival_s < case.switch_s
    return {
        "trigger": trigger, "num_requests": len(rows), "predicted_static": predicted,
        "attainment": float(good.mean()), "first": float(good[is_first].mean()),
        "second": float(good[~is_first].mean()), "worst": float(shares.min()),
        "windows": [round(float(share), 3) for share in shares],
        "failed": sum(row[2] in REFUSED for row in rows), "loads": loads,
        "looks": [json.loads(words).get("why") for _, _, words in events],
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
