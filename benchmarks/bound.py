"""How far the best published plan is from what nothing can exceed: attainment, reference, bound, seconds.

    python -m benchmarks.bound FOLDER ... [--budget 60] [--trim-s 10]

A folder holds deployment.yaml, train.csv.gz and, for the first column, peer.json with the artifact's figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from placement.bound.memoryless import without_memory
from placement.bound.upper import upper_bound
from vocabulary.formats.disk import load_deployment, load_trace

# The artifact's router and latency model.
ARTIFACT = (
    "serving.policy.router=min_stage_clock",
    "simulation.stage_scale_per_stage=0.009",
    "simulation.fixed_overhead_s=0.011",
)
TITLES = "workload | artifact | without memory | bound | exact | seconds | windows | longest | columns x rows"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--trim-s", type=float, default=10.0)
    asked = parser.parse_args()
    print(f"| {TITLES} |\n|{'---|' * (TITLES.count('|') + 1)}")
    for folder in asked.folders:
        print(row(folder, budget_s=asked.budget, trim_s=asked.trim_s), flush=True)


def row(folder: Path, *, budget_s: float, trim_s: float) -> str:
    """One workload, as a line of a table."""
    deployment = load_deployment(folder / "deployment.yaml", overrides=ARTIFACT)
    trace = load_trace(folder / "train.csv.gz", models=deployment.model_names)
    reference = without_memory(deployment, trace, trim_s=trim_s)
    bound = upper_bound(deployment, trace, trim_s=trim_s, budget_s=budget_s)
    cells = (
        folder.name,
        best_of_artifact(folder),
        f"{reference.attainment:.4f}, {reference.layout}",
        f"{bound.attainment:.4f}",
        "yes" if bound.is_exact else bound.why_not,
        f"{bound.seconds:.1f}",
        str(bound.num_windows),
        f"{bound.window_s:.2f} s",
        f"{bound.num_columns:,} x {bound.num_rows:,}",
    )
    return f"| {' | '.join(cells)} |"


def best_of_artifact(folder: Path) -> str:
    path = folder / "peer.json"
    if not path.exists():
        return "-"
    return f"{max(figure['goodput_train'] for figure in json.loads(path.read_text()).values()):.4f}"


if __name__ == "__main__":
    main()
