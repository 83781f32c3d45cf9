"""The paper's strategies and schedulers reach the ratios that were computed for them elsewhere."""

from __future__ import annotations

import random

import pytest

from resharding.baselines.schedulers import SCHEDULERS, makespan_s
from resharding.baselines.strategies import STRATEGIES, best_chunks
from resharding.baselines.tasks import Task, tasks_of
from resharding.network import Network
from resharding.planner import plan_transfer
from tests.resharding.drawn_moves import PAPER, move, random_move

FREE = Network(1.25e9, latency_s=0.0)


@pytest.mark.parametrize("name", PAPER)
def test_schedulers_reach_what_they_reach_on_the_papers_cases(name: str) -> None:
    one = move(*PAPER[name][:5])
    tasks, bound_s = tasks_of([one]), plan_transfer([one], FREE).lower_bound_s
    ratios = [
        makespan_s(tasks, FREE, strategy="broadcast", scheduler=scheduler) / bound_s
        for scheduler in SCHEDULERS
    ]
    assert ratios == pytest.approx(PAPER[name][5], rel=0.02)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("case1", (4, 1.01, 1.01, 1)), ("case4", (1, 1, 1, 1)), ("case7", (8, 2.01, 1.51, 1.016))],
)
def test_strategies_cost_what_the_formulas_say(name: str, expected: tuple[float, ...]) -> None:
    one = move(*PAPER[name][:5])
    tasks, bound_s = tasks_of([one]), plan_transfer([one], FREE).lower_bound_s
    ratios = [makespan_s(tasks, FREE, strategy=each, scheduler="greedy") / bound_s for each in STRATEGIES]
    assert ratios == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("mebibytes", "num_chunks", "by_transfer"), [(1, 7, 2.03), (8, 20, 1.32), (64, 57, 1.11)]
)
def test_a_broadcast_is_cut_by_the_square_root_rule(
    mebibytes: int, num_chunks: int, by_transfer: float
) -> None:
    task = Task(mebibytes * 2**20, (0,), {1: 1, 2: 1, 3: 1, 4: 1})
    network = Network(1.25e9, latency_s=50e-6)
    assert best_chunks(task, network) == num_chunks
    once_s = task.num_bytes / network.host_bytes_per_s
    assert STRATEGIES["broadcast"](task, network) / once_s == pytest.approx(by_transfer, abs=0.01)


def test_whole_slices_from_two_replicas_to_three_hosts_need_a_third_more_than_the_bound() -> None:
    one = move((2, 1), (3, 1), (300, 300), ("", ""), ("h", ""))
    bound_s = plan_transfer([one], FREE).lower_bound_s
    best_s = makespan_s(tasks_of([one]), FREE, strategy="broadcast", scheduler="dfs")
    assert best_s / bound_s == pytest.approx(4 / 3, rel=0.01)


def test_our_plan_is_within_two_thousandths_of_greedy_broadcasts_or_better() -> None:
    rng = random.Random(5)
    for _ in range(60):
        one = random_move(rng)
        tasks = tasks_of([one])
        if len(tasks) <= 40:  # the greedy takes seconds beyond
            theirs_s = makespan_s(tasks, FREE, strategy="broadcast", scheduler="greedy")
            assert plan_transfer([one], FREE).makespan_s <= theirs_s * 1.002
