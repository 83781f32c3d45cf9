"""The paper's strategies and schedulers reach the ratios that were computed for them elsewhere."""

from __future__ import annotations

import math
import random

import pytest

from resharding.baselines.schedulers import SCHEDULERS, makespan_s
from resharding.baselines.strategies import STRATEGIES, best_chunks
from resharding.baselines.tasks import Task, tasks_of
from resharding.network import Network
from resharding.planner import plan_transfer
from resharding.sends import last_end_s, timed
from resharding.whole_broadcasts import whole_broadcasts
from tests.resharding.checks import check_delivery, check_ports
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


@pytest.mark.parametrize("latency_s", [0.0, 10e-6, 50e-6])
@pytest.mark.parametrize("sizes", [(8, 40), (33, 300)], ids=["tiny", "small"])
def test_our_plan_is_never_worse_than_greedy_broadcasts(sizes: tuple[int, int], latency_s: float) -> None:
    network = Network(1.25e9, latency_s=latency_s)
    rng = random.Random(5)
    for _ in range(50):
        one = random_move(rng, sizes=sizes)
        theirs_s = makespan_s(tasks_of([one]), network, strategy="broadcast", scheduler="greedy")
        plan = plan_transfer([one], network)
        # Their chunks are fractions of a byte, ours are not: a byte at every hop.
        assert plan.makespan_s <= theirs_s + 8 / network.host_bytes_per_s


def test_greedy_broadcasts_are_planned_where_they_are_the_best() -> None:
    # The 127th of these: they were 8 % faster than all that was tried before, at 10 us a message.
    rng = random.Random(5)
    for _ in range(127):
        one = random_move(rng, sizes=(8, 40))
    network = Network(1.25e9, latency_s=10e-6)
    plan = plan_transfer([one], network)
    theirs_s = makespan_s(tasks_of([one]), network, strategy="broadcast", scheduler="greedy")
    assert plan.makespan_s <= theirs_s
    check_delivery(plan)
    check_ports(plan, network)


def test_whole_broadcasts_take_at_most_what_the_papers_model_says() -> None:
    for name in PAPER:
        one = move(*PAPER[name][:5])
        plan = plan_transfer([one], FREE)
        sends = timed(whole_broadcasts([one], plan.classes, FREE, below_s=math.inf), FREE)
        formula_s = makespan_s(tasks_of([one]), FREE, strategy="broadcast", scheduler="greedy")
        assert last_end_s(sends, plan.classes, FREE) <= formula_s * (1 + 1e-6)
