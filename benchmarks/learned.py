"""What a correction learned live is worth on the JAX engine: errors of the simulation before and after it.

The demo's models on this machine's virtual CPU devices: profiled, planned, served. One minute of traffic is
recorded to learn from, another to be simulated: before with the profiles as measured and the overhead of lone
requests (`bench --calibrate`), after with both as learned from the first minute (`profile --correct-from`).

    python -m benchmarks.learned --out learned.json
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.fidelity import run, served

EXAMPLE = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "demo" / "deployment.yaml"
_FLEET = ("deployment.yaml", "--plan", "plan.yaml")


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--deployment", type=Path, default=EXAMPLE, help="another fleet with sources")
    options.add_argument("--duration", default="60s", help="of each of the two traces")
    options.add_argument("--out", type=Path, help="JSON of both comparisons")
    chosen = options.parse_args()
    with TemporaryDirectory(prefix="learned-") as folder:
        document = measure(Path(folder), chosen)
    print(table(document))
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def measure(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Profile, plan, serve, record twice, compare twice. Raises CalledProcessError when a command fails."""
    shutil.copy(chosen.deployment, folder / "deployment.yaml")
    run(folder, "profile", "deployment.yaml")
    for name, seed in (("plan", 1), ("first", 2), ("second", 3)):
        words = ("--duration", chosen.duration, "--seed", str(seed), "--out", f"{name}.csv")
        run(folder, "trace", "gen", "deployment.yaml", *words)
    run(folder, "plan", "deployment.yaml", "--trace", "plan.csv", "--out", "plan.yaml")
    with served(folder, *_FLEET):
        lone = run(folder, "bench", *_FLEET, "--calibrate", "100")
        for name in ("first", "second"):
            run(folder, "bench", *_FLEET, "--trace", f"{name}.csv", "--record", name)
    before = run(folder, "simulate", "--compare-to", "second", *_overhead(lone))
    learned = run(folder, "profile", "deployment.yaml", "--correct-from", "first")
    after = run(folder, "simulate", *_FLEET, "--compare-to", "second", *_overhead(learned))
    return {"lone": lone, "learned": learned, "before": before, "after": after}


def table(document: dict[str, Any]) -> str:
    """Markdown: what was learned, and the errors of every model before and after."""
    before, after = document["before"], document["after"]
    lines = [
        f"fixed overhead {_ms(document['lone']['fixed_overhead_s'])} from lone requests, "
        f"{_ms(document['learned']['fixed_overhead_s'])} as learned",
        "",
        "| model | stages, observed / profiled | measured | before | after | p50 measured | before | after "
        "| p99 measured | before | after |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, pair in {**before["models"], "all": before["all"]}.items():
        later = after["all"] if name == "all" else after["models"][name]
        cells = [name, _factors(document["learned"]["profiles"].get(name))]
        cells += [f"{share:.2%}" for share in _three(pair, later, "slo_attainment")]
        cells += [_ms(seconds) for key in ("p50_s", "p99_s") for seconds in _three(pair, later, key)]
        lines.append(f"| {' | '.join(cells)} |")
    for name, one in (("before", before), ("after", after)):
        lines.append(
            f"\n{name}: mean absolute error {one['mean_absolute_error_points']:.2f} points, p50 "
            f"{_ms(one['mean_absolute_p50_error_s'])}, p99 {_ms(one['mean_absolute_p99_error_s'])}"
        )
    return "\n".join(lines)


def _three(pair: dict[str, Any], later: dict[str, Any], key: str) -> tuple[Any, Any, Any]:
    return pair[key]["measured"], pair[key]["simulated"], later[key]["simulated"]


def _factors(profile: dict[str, Any] | None) -> str:
    """One for each configuration that was observed."""
    return ", ".join(f"{one['factor']:.3f}" for one in profile["corrections"]) if profile else ""


def _overhead(calibration: dict[str, Any]) -> tuple[str, str]:
    return ("--set", f"simulation.fixed_overhead_s={max(calibration['fixed_overhead_s'], 0.0)}")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())
