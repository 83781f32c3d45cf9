"""SLO attainment of several front ends that know each other from heartbeats alone, against a single one.

    python -m benchmarks.fronts --out fronts.json

Fleets: two of AlpaServe's published ones several times over, traffic and devices, from --data (left out where
it is not there): `w2`, 48 BERT-1.3B on 16 groups of eight stages, and `w5`, 42 BERTs of several sizes on 15;
and `equal`, sixteen replicas of one model that takes 0.1 s. Bursty (cv 4), bursty and Poisson.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from simulator.fronts import Fronts, simulate_fronts
from simulator.traffic.workload import generate
from vocabulary.deployment import Deployment, ModelSpec, Slo, Workload
from vocabulary.formats.disk import load_deployment, load_plan, load_trace
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

ROUTERS = ("shortest_expected_delay", "power_of_two", "round_robin")
NUMS_OF_FRONTS = (1, 2, 4, 8)
INTERVALS_S = (0.05, 0.2, 0.5, 2.0)
DATA = Path(__file__).parents[1].parent / "shared" / "data" / "alpaserve"
# Folder, copies, and the factor on the published rates: near the load at which one dispatcher begins to miss.
PUBLISHED = {"w2": ("w2-16gpu-48x1.3b", 8, 1.5), "w5": ("w5-24gpu-42-bert", 5, 0.85)}
BURSTS_CV = 4.0
EQUAL_GROUPS, EQUAL_S, EQUAL_LOAD = 16, 0.1, 0.9


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet, and traffic that it meets: (seed, seconds) -> trace."""

    name: str
    deployment: Deployment
    placement: Placement
    rates_rps: tuple[float, ...]
    cv: float

    def trace(self, *, seed: int, duration_s: float) -> Trace:
        names = self.deployment.model_names
        workloads = {name: Workload(rate, self.cv) for name, rate in zip(names, self.rates_rps, strict=True)}
        return generate(workloads, duration_s=duration_s, seed=seed)


@dataclass(frozen=True, slots=True)
class Row:
    """attainment: of all requests, mean over seeds; lost_points: against one front end, same router."""

    fleet: str
    router: str
    num_fronts: int
    beat_interval_s: float
    attainment: float
    lost_points: float


def published_fleet(name: str, data: Path) -> Fleet:
    """The published plan several times, each copy on devices of its own; a model's traffic goes to all."""
    folder_name, num_copies, rate_scale = PUBLISHED[name]
    folder = data / folder_name
    deployment = load_deployment(folder / "deployment.yaml")
    plan = load_plan(folder / "plan.mp-search.yaml").placement
    trace = load_trace(folder / "test.csv.gz").aligned_to(deployment.model_names)
    groups = tuple(
        Group(f"{copy}-{group.id}", tuple(f"{copy}-{d}" for d in group.devices), group.config, group.models)
        for copy in range(num_copies)
        for group in plan.groups
    )
    counts = np.bincount(trace.model_index, minlength=len(trace.models))
    scale = num_copies * rate_scale / float(trace.arrival_s[-1])
    return Fleet(name, deployment, Placement(groups), tuple((counts * scale).tolist()), BURSTS_CV)


def equal_fleet() -> Fleet:
    """One model everywhere, with an SLO of four times what it takes."""
    one = ParallelConfig(1, 1)
    entry = ProfileEntry(one, (1,), {}, {1: (EQUAL_S,)})
    profile = profile_of("m", "cpu", [entry], provenance=Provenance("imported"))
    model = ModelSpec("m", profile=profile, slo=Slo(4 * EQUAL_S))
    cluster = Cluster((NodeClass("n", 1, "cpu", EQUAL_GROUPS, 100),))
    groups = tuple(Group(f"g{i}", (each.id,), one, ("m",)) for i, each in enumerate(cluster.devices))
    deployment = Deployment("equal", cluster, (model,))
    return Fleet("equal", deployment, Placement(groups), (EQUAL_LOAD * EQUAL_GROUPS / EQUAL_S,), 1.0)


def attainment(fleet: Fleet, router: str, fronts: Fronts, traces: Sequence[Trace]) -> float:
    policy = replace(fleet.deployment.policy, router=router)
    deployment = replace(fleet.deployment, policy=policy)
    found = [simulate_fronts(fleet.placement, one, deployment=deployment, fronts=fronts) for one in traces]
    return fmean(float(one.good.mean()) for one in found)


def measure(fleet: Fleet, traces: Sequence[Trace]) -> list[Row]:
    """All routers, numbers of front ends and intervals; of one front end, heartbeats change nothing."""
    rows = []
    for router in ROUTERS:
        alone = attainment(fleet, router, Fronts(), traces)
        for num_fronts in NUMS_OF_FRONTS:
            for interval_s in INTERVALS_S:
                fronts = Fronts(num_fronts, interval_s)
                found = alone if num_fronts == 1 else attainment(fleet, router, fronts, traces)
                lost_points = 100 * (alone - found)
                rows.append(Row(fleet.name, router, num_fronts, interval_s, found, lost_points))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Attainment in percent: a line for each router and number of front ends, a column for each interval."""
    lines = [f"{'fleet':<6} {'router':<24} {'fronts':>6} " + " ".join(f"{s:>6g} s" for s in INTERVALS_S)]
    for first in range(0, len(rows), len(INTERVALS_S)):
        line = rows[first : first + len(INTERVALS_S)]
        head = f"{line[0].fleet:<6} {line[0].router:<24} {line[0].num_fronts:>6} "
        lines.append(head + " ".join(f"{100 * row.attainment:>8.2f}" for row in line))
    return "\n".join(lines)


def main() -> int:
    """Prints the table; the rows are written as JSON to --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="the published fleets")
    parser.add_argument("--seconds", type=float, default=40.0, help="of traffic, for each seed")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    fleets = [published_fleet(name, options.data) for name in PUBLISHED if options.data.exists()]
    if not fleets:
        print(f"no published fleets in {options.data}: without w2 and w5", file=sys.stderr)
    for fleet in (*fleets, equal_fleet()):
        traces = [fleet.trace(seed=seed, duration_s=options.seconds) for seed in range(options.seeds)]
        rows += measure(fleet, traces)
    print(table(rows))
    if options.out:
        options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
