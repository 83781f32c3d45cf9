"""Traffic whose popularity changes: a plan that stays, Clockwork++-style windows, plans on drift.

Two windows of the Azure Functions 2019 day, of those that differ most in which functions are asked for; each
function is one of the fleet's models in turn. The first plan is made for another draw of the first window.
All changes are carried out by the machine of live fleets, with the time that weights take to read
(docs/decisions/0039-replacement.md).

    python -m benchmarks.replacement --data "$DATA"              # simulated, some minutes on 2 cores
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.paper.setting import Setting, fleet, invocation_counts, profiles_in
from placement.drift import Expectation, Observation, expectation_of, rhythms_of
from placement.replan_devices import with_fewest_moves
from placement.replan_due import ReplanDue
from placement.replanning import Question, answer
from placement.search import search
from simulator.faults import simulate_with_faults
from simulator.plan_changes import CarriedOut, Costs, Wanted, carried_out
from simulator.traffic.resample import arrivals_of_counts
from vocabulary.deployment import Deployment
from vocabulary.elasticity import Replanning
from vocabulary.outcomes import FATE_CODE, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace

TRAIN_SEED, TEST_SEED = 1000, 0
# Windows of the table, and of what a re-plan looks at.
WORST_S, LOOK_S = 10.0, 5.0
CLOCKWORK_S = 60.0
# Nobody was there to answer, of models that the plan has.
FAILED = (Fate.UNAVAILABLE, Fate.LOST, Fate.FAILED)


@dataclass(frozen=True, slots=True)
class Case:
    """Traffic of `num_minutes` real minutes twice, each `minute_s` long."""

    deployment: Deployment
    train: Trace
    test: Trace
    switch_s: float
    overlap: float


@dataclass(frozen=True, slots=True)
class Row:
    """worst: attainment of the worst 10 s window; below: points that one is at most below the same window of
    the plan that stays; failed: requests that nobody was there for."""

    policy: str
    attainment: float
    first: float
    second: float
    worst: float
    below: float
    failed: int
    num_plans: int
    num_loads: int
    gigabytes: float
    changing_s: float


def main() -> int:
    options = options_of(__doc__).parse_args()
    case = case_of(options.data, options)
    rules = Replanning(
        "drift", options.min_gain, None, options.interval_s, options.window_s, options.horizon_s
    )
    costs = Costs(options.store, options.start_s, options.drain_s)
    free = replace(costs, store_bytes_per_s=1e18, drain_s=1e-6)
    shared = f"the windows share {case.overlap:.0%} of popularity"
    print(f"{len(case.test)} requests, {case.switch_s * 2:.0f} s; {shared}")
    first = search(case.deployment, case.train).placement
    policies: dict[str, Callable[[], tuple[Placement, list[Wanted], Costs]]] = {
        "static plan": lambda: (first, [], costs),
        "Clockwork++ windows, free swaps": lambda: (*clockwork(case), free),
        "Clockwork++ windows, real swaps": lambda: (*clockwork(case), costs),
        "re-placed on drift": lambda: (first, drifted(case, first, rules, costs, options.budget_s), costs),
    }
    rows, reference = [], None
    for name, plans_of in policies.items():
        start, plans, paid = plans_of()
        may_interrupt = name.startswith("Clockwork")
        done = carried_out(start, plans, deployment=case.deployment, costs=paid, may_interrupt=may_interrupt)
        outcomes = simulate_with_faults(case.deployment, start, case.test, done.faults)
        rows.append(row_of(name, case, outcomes, done, len(plans), reference))
        reference = reference if reference is not None else outcomes
        print(table(rows[-1:], is_headed=len(rows) == 1), flush=True)
        for sentence in done.given_up[:3]:
            print(f"  given up: {sentence}")
    if options.out is not None:
        document = {"store_bytes_per_s": options.store, "rows": [asdict(row) for row in rows]}
        options.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def case_of(data: Path, options: argparse.Namespace) -> Case:
    """The two windows that differ most, one after the other."""
    setting = Setting(options.devices, options.models // 6, options.rate, options.cv, options.slo_scale, 0.0)
    deployment = fleet(setting, profiles_in(data / "alpaserve" / "profiles"))
    counts = by_model(invocation_counts(data / "traces"), len(deployment.models))
    one, other, overlap = most_different(counts, options.minutes)
    pair = np.concatenate([counts[:, start : start + options.minutes] for start in (one, other)], axis=1)
    span_s = options.minutes * options.minute_s

    def drawn(part: NDArray[np.int64], seed: int) -> Trace:
        scale = options.rate * span_s / counts[:, one : one + options.minutes].sum()
        return arrivals_of_counts(
            part, models=deployment.model_names, window_s=options.minute_s, rate_scale=scale,
            cv=options.cv, seed=seed,
        )  # fmt: skip

    return Case(
        deployment, drawn(pair[:, : options.minutes], TRAIN_SEED), drawn(pair, TEST_SEED), span_s, overlap
    )


def by_model(counts: NDArray[np.int64], num_models: int) -> NDArray[np.int64]:
    """[models, minutes]: functions dealt to the models in turn, as AlpaServe does."""
    found = np.zeros((num_models, counts.shape[1]), dtype=np.int64)
    np.add.at(found, np.arange(len(counts)) % num_models, counts)
    return found


def most_different(counts: NDArray[np.int64], num_minutes: int) -> tuple[int, int, float]:
    """Starts of two windows that do not overlap and share least popularity, and what they share (0 to 1).

    Of windows with about as much traffic: the second has between 80 and 125 % of the first's.
    """
    starts = range(0, counts.shape[1] - num_minutes + 1, num_minutes)
    sums = [counts[:, start : start + num_minutes].sum(axis=1) for start in starts]
    pairs = [
        (float(np.minimum(a / a.sum(), b / b.sum()).sum()), one, other)
        for i, (one, a) in enumerate(zip(starts, sums, strict=True))
        for other, b in list(zip(starts, sums, strict=True))[i + 1 :]
        if 0.8 <= b.sum() / a.sum() <= 1.25
    ]
    overlap, one, other = min(pairs)
    return one, other, overlap


def clockwork(case: Case) -> tuple[Placement, list[Wanted]]:
    """Selective replication, solved anew on every coming window of the very traffic: an oracle."""
    plans: list[Wanted] = []
    for at_s in np.arange(0.0, 2 * case.switch_s, CLOCKWORK_S).tolist():
        window = part_of(case.test, at_s, at_s + CLOCKWORK_S)
        placement = search(case.deployment, window, algorithm="sr-greedy").placement
        if plans:
            placement = with_fewest_moves(plans[-1].placement, placement, deployment=case.deployment)
        plans.append(Wanted(at_s, placement))
    return plans[0].placement, plans[1:]


def drifted(case: Case, first: Placement, rules: Replanning, costs: Costs, budget_s: float) -> list[Wanted]:
    """As `controller.change.replanner` does it: it knows what has arrived, and searching takes its time."""
    due = ReplanDue(rules, expectation_of(case.train), now_s=0.0)
    current, plans, busy_s = first, [], 0.0
    for now_s in np.arange(LOOK_S, 2 * case.switch_s, LOOK_S).tolist():
        if now_s < busy_s:
            continue
        span_s = min(rules.window_s, now_s)
        seen = part_of(case.test, now_s - span_s, now_s)
        rhythms = rhythms_of(seen, span_s=span_s)
        if not due.reasons(Observation(rhythms), now_s=now_s, span_s=span_s):
            continue
        result = answer(
            Question(
                current, case.deployment, seen, tuple(sorted(current.models)), rules.horizon_s,
                rules.min_gain, rules.max_moves, costs.store_bytes_per_s, costs.start_s, budget_s,
            )
        )  # fmt: skip
        due.looked(Expectation(rhythms), now_s=now_s)
        print(f"  {now_s:.0f} s: {result.why}", flush=True)
        if result.is_move:
            wanted = Wanted(now_s + budget_s, result.plan.placement)
            plans.append(wanted)
            changing_s = carried_out(current, [wanted], deployment=case.deployment, costs=costs).busy_s
            current, busy_s = wanted.placement, wanted.at_s + changing_s
    return plans


def part_of(trace: Trace, start_s: float, stop_s: float) -> Trace:
    """Arrivals of [start_s, stop_s), from time 0."""
    rows = np.flatnonzero((trace.arrival_s >= start_s) & (trace.arrival_s < stop_s))
    part = trace.take(rows)
    return replace(part, arrival_s=part.arrival_s - start_s)


def row_of(
    name: str, case: Case, outcomes: Outcomes, done: CarriedOut, num_plans: int, reference: Outcomes | None
) -> Row:
    good, is_first = outcomes.good, case.test.arrival_s < case.switch_s
    shares = shares_by_window(outcomes)
    below = 0.0 if reference is None else float(np.nanmax(shares_by_window(reference) - shares))
    failed = np.isin(outcomes.fate, [FATE_CODE[fate] for fate in FAILED])
    return Row(
        name, float(good.mean()), float(good[is_first].mean()), float(good[~is_first].mean()),
        float(np.nanmin(shares)), 100.0 * below, int(failed.sum()), num_plans, done.num_loads,
        done.num_bytes / 1e9, done.busy_s,
    )  # fmt: skip


def shares_by_window(outcomes: Outcomes) -> NDArray[np.float64]:
    """Attainment of every 10 s [windows], NaN where fewer than 20 requests came."""
    window = (outcomes.trace.arrival_s // WORST_S).astype(np.int64)
    counts = np.bincount(window)
    good = np.bincount(window, weights=outcomes.good, minlength=len(counts))
    return np.where(counts >= 20, good / np.maximum(counts, 1), np.nan)


HEAD = (
    "| policy | SLO attainment | first window | second | worst 10 s | most below static, points | failed "
    "| plans | replicas loaded | GB | changing, s |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def table(rows: list[Row], *, is_headed: bool) -> str:
    lines = [
        f"| {r.policy} | {r.attainment:.4f} | {r.first:.4f} | {r.second:.4f} | {r.worst:.3f} | "
        f"{r.below:.1f} | {r.failed} | {r.num_plans} | {r.num_loads} | {r.gigabytes:.1f} | "
        f"{r.changing_s:.0f} |"
        for r in rows
    ]
    return "\n".join([HEAD, *lines] if is_headed else lines)


def options_of(description: str | None) -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--data", type=Path, required=True, help="folder with alpaserve/ and traces/")
    options.add_argument("--out", type=Path)
    options.add_argument("--devices", type=int, default=16)
    options.add_argument("--models", type=int, default=24)
    options.add_argument("--rate", type=float, default=24.0, help="requests a second of the first window")
    options.add_argument("--cv", type=float, default=3.0)
    options.add_argument("--slo-scale", type=float, default=5.0)
    options.add_argument("--minutes", type=int, default=20, help="real minutes of each window")
    options.add_argument("--minute-s", type=float, default=60.0, help="how long a real minute lasts")
    options.add_argument("--store", type=float, default=1e9, help="bytes a second that a host reads")
    options.add_argument("--start-s", type=float, default=5.0)
    options.add_argument("--drain-s", type=float, default=2.0)
    options.add_argument("--budget-s", type=float, default=10.0)
    options.add_argument("--window-s", type=float, default=300.0)
    options.add_argument("--interval-s", type=float, default=60.0)
    options.add_argument("--horizon-s", type=float, default=1800.0)
    options.add_argument("--min-gain", type=float, default=0.01)
    return options


if __name__ == "__main__":
    raise SystemExit(main())
