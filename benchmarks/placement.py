"""The placement search beside AlpaServe's: what plans attain, on the traffic they are made for and on other.

    python -m benchmarks.placement --data ../shared/data [--only published,sizes,large,held-out] [--json FILE]

Everything is simulated, with the artifact's latency model and trimming and our default router. The artifact's
attainments and seconds are those it recorded (`peer.json`, one thread) or, for generated fleets, those of its
algorithm as it is rebuilt here (`mp-search`), run in the same process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.placement_cases import Case, drawn, generated, given
from placement.candidate import Candidate
from placement.groups import carve, hosts_of
from placement.search import search
from simulator.fast import load_compiler
from simulator.fast_or_events import outcomes_of
from vocabulary.outcomes import kept_rows, statistics
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Placement
from vocabulary.trace import Trace

TRIM_S = 10.0
# Devices and models of the timed fleets, with the seconds that a search may take on two cores. The largest
# gets nearly twice the rate a device: at the usual one the greedy fill is perfect.
SIZES = ((24, 42, 2.0, None), (32, 60, 3.0, None), (64, 60, 10.0, None), (256, 200, 120.0, 900.0))
SEEDS = (1, 2, 3)
# The seeds of unseen traffic, far from those of any case.
UNSEEN_SEEDS = tuple(500_000 + 1_000 * number for number in range(5))
# Families like the published ones: devices, models, kinds, requests a second.
FAMILIES = {
    "like w2": (16, 48, ("bert-1.3b",), 60.0),
    "like w3": (16, 24, ("bert-2.6b",), 40.0),
    "like w5": (24, 42, ("bert-6.7b", "bert-2.6b", "bert-1.3b"), 64.0),
}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the published workloads and profiles lie."""

    data: Path

    @property
    def profiles(self) -> Path:
        return self.data / "alpaserve" / "profiles"

    def published(self) -> Iterator[Row]:
        """The workloads that the artifact's results are known for."""
        for folder in sorted((self.data / "alpaserve").glob("w*")):
            case = given(folder)
            peer = json.loads((folder / "peer.json").read_text())
            best = max(peer.values(), key=lambda one: one["goodput_test"])
            yield _row(case) | {
                "artifact_train": max(one["goodput_train"] for one in peer.values()),
                "artifact_test": best["goodput_test"],
                "artifact_seconds": max(one["search_s"] for one in peer.values()),
            }

    def sizes(self) -> Iterator[Row]:
        """How long a search takes until it has converged."""
        for num_devices, num_models, limit_s, total_rps in SIZES:
            for seed in SEEDS if num_devices < 256 else SEEDS[:1]:
                case = generated(self.profiles, num_devices, num_models, seed=seed, total_rps=total_rps)
                yield _row(case) | _peer_row(case) | {"limit_seconds": limit_s}

    def large(self) -> Iterator[Row]:
        """Models that need sixteen devices: 4 x bert-103.5b on 64, beside a pipeline for each by hand."""
        for slo_scale in (2.0, 4.0, 8.0):
            case = generated(self.profiles, 64, 4, kinds=("bert-103.5b",), total_rps=8.0, slo_scale=slo_scale)
            layout = carve(hosts_of(case.deployment.cluster), ParallelConfig(1, 16))
            by_hand = Candidate(layout, tuple((model,) for model in range(4)))
            placement = by_hand.placement(case.deployment.model_names)
            yield (
                _row(case)
                | _peer_row(case)
                | {
                    "case": f"{case.name}, SLO x {slo_scale:g}",
                    "by_hand_train": attainment(placement, case, case.train),
                    "by_hand_test": attainment(placement, case, case.test),
                }
            )

    def held_out(self) -> Iterator[Row]:
        """Other seeds of the published families, tried on traffic of five seeds that nothing has seen."""
        for name, (num_devices, num_models, kinds, total_rps) in FAMILIES.items():
            for seed in SEEDS:
                case = generated(
                    self.profiles,
                    num_devices,
                    num_models,
                    kinds=kinds,
                    total_rps=total_rps,
                    seed=1_000 * seed,
                )
                yield _row(case) | _peer_row(case) | {"case": f"{name}, seed {seed}"}


def attainment(placement: Placement, case: Case, trace: Trace) -> float:
    """Simulated, trimmed."""
    outcomes = outcomes_of(placement, trace, deployment=case.deployment)
    return statistics(outcomes, rows=kept_rows(trace, TRIM_S)).slo_attainment


def _row(case: Case) -> Row:
    found = search(case.deployment, case.train, trim_s=TRIM_S)
    configs = Counter(str(group.config) for group in found.placement.groups)
    return {
        "case": case.name,
        "train": attainment(found.placement, case, case.train),
        "test": attainment(found.placement, case, case.test),
        "unseen": _unseen(found.placement, case),
        "overfit_gap": found.overfit_gap,
        "seconds": found.seconds,
        "num_evaluated": found.num_evaluated,
        "evaluations_per_second": found.evaluations_per_second,
        "candidate_requests_per_second": found.candidate_requests_per_second,
        "groups": ", ".join(f"{count} x {config}" for config, count in configs.items()),
    }


def _peer_row(case: Case) -> Row:
    found = search(case.deployment, case.train, algorithm="mp-search")
    return {
        "artifact_train": attainment(found.placement, case, case.train),
        "artifact_test": attainment(found.placement, case, case.test),
        "artifact_unseen": _unseen(found.placement, case),
        "artifact_seconds": found.seconds,
    }


def _unseen(placement: Placement, case: Case) -> float:
    """Mean over traffic drawn from the workloads, not from the trace."""
    duration_s = case.train.duration_s
    traces = [drawn(case.deployment, duration_s=duration_s, seed=seed) for seed in UNSEEN_SEEDS]
    return float(np.mean([attainment(placement, case, trace) for trace in traces]))


def _line(row: Row) -> str:
    shares = ("train", "test", "unseen", "artifact_train", "artifact_test", "artifact_unseen")
    hand = ("by_hand_train", "by_hand_test")
    parts = [f"{name} {row[name]:.4f}" for name in (*shares, *hand) if name in row]
    limit = f" of {row['limit_seconds']:g}" if "limit_seconds" in row else ""
    speed = (
        f"{row['num_evaluated']} placements, {row['candidate_requests_per_second'] / 1e6:.0f} M requests/s"
    )
    seconds = f"{row['seconds']:.2f}{limit} s (artifact {row['artifact_seconds']:.2f} s)"
    return f"{row['case']}: {'; '.join(parts)}; {seconds}; {speed}; {row['groups']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with alpaserve/")
    parser.add_argument("--only", default="published,sizes,large,held-out")
    parser.add_argument("--json", type=Path)
    choices = parser.parse_args()
    bench = Bench(choices.data)
    if not bench.profiles.exists():
        print(f"error: no profiles at {bench.profiles}", file=sys.stderr)
        return 2
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "published": bench.published,
        "sizes": bench.sizes,
        "large": bench.large,
        "held-out": bench.held_out,
    }
    load_compiler()
    next(bench.published())  # what is compiled is compiled before anything is timed
    rows: dict[str, list[Row]] = {}
    for name in choices.only.split(","):
        for row in parts[name]():
            rows.setdefault(name, []).append(row)
            print(f"{name}: {_line(row)}", flush=True)
    if choices.json is not None:
        choices.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
