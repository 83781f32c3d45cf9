"""Plans and bounds beside the best there is, found by trying everything on small cases."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from resharding.baselines.tasks import tasks_of
from resharding.moves import Move
from resharding.network import Network
from resharding.planner import plan_transfer
from tests.resharding.brute_force import best_whole_tasks_s, fewest_steps
from tests.resharding.drawn_moves import move, placed

CHUNK_BYTES = 840
# A chunk takes a second on a port, and no time inside a host.
SECONDS = {"nic_bytes_per_s": CHUNK_BYTES, "intra_bytes_per_s": 1e12}
FREE = Network(1.25e9, intra_bytes_per_s=1e15, latency_s=0.0)


@pytest.mark.parametrize("latency_s", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("is_full_duplex", [True, False], ids=["full duplex", "half duplex"])
def test_no_schedule_of_few_chunks_ends_before_the_bound_and_plans_are_near_the_best(
    is_full_duplex: bool, latency_s: float
) -> None:
    network = Network(**SECONDS, latency_s=latency_s, is_full_duplex=is_full_duplex)
    found = Counter()
    for seed in range(60):
        plan = plan_transfer(_few_chunks(random.Random(seed)), network)
        steps = fewest_steps(plan.classes, chunk_bytes=CHUNK_BYTES, is_full_duplex=is_full_duplex)
        best_s = steps * network.message_s(CHUNK_BYTES)
        assert plan.lower_bound_s <= best_s * (1 + 1e-6), seed
        # Finer chunks than these may be better; where they are not, the fill of 64 of them is lost.
        assert plan.makespan_s <= best_s * (1.02 if is_full_duplex and not latency_s else 1.5 + 1e-6), seed
        found[plan.makespan_s <= 1.02 * best_s] += 1
    assert found[True] >= 54


def test_plans_are_never_worse_than_the_best_schedule_of_whole_tasks_but_for_the_fill_of_a_chain() -> None:
    rng, num_strictly_better, num_tried = random.Random(4), 0, 0
    while num_tried < 40:
        one = _small_mesh(rng)
        tasks = tasks_of([one])
        if not 2 <= len(tasks) <= 5:
            continue
        num_tried += 1
        best_s = best_whole_tasks_s(tasks, FREE)
        plan = plan_transfer([one], FREE)
        assert plan.lower_bound_s <= best_s * (1 + 1e-9)
        assert plan.makespan_s <= best_s * 1.03
        num_strictly_better += plan.makespan_s < 0.99 * best_s
    assert num_strictly_better > 0


def test_two_replicas_feed_three_hosts_in_three_quarters_of_the_best_time_of_whole_tasks() -> None:
    thirds = move((2, 1), (3, 1), (300, 300), ("", ""), ("h", ""))
    best_s = best_whole_tasks_s(tasks_of([thirds]), FREE)
    plan = plan_transfer([thirds], FREE)
    assert best_s / plan.lower_bound_s == pytest.approx(4 / 3)
    assert plan.makespan_s == pytest.approx(0.75 * best_s, rel=0.001)


def _few_chunks(rng: random.Random) -> list[Move]:
    """Up to three chunks of up to three tensors, whole on some of up to four hosts and lacked by others."""
    hosts = list(range(rng.randint(2, 4)))
    left, moves = rng.randint(1, 3), []
    while left:
        senders = tuple(sorted(rng.sample(hosts, rng.randint(1, len(hosts) - 1))))
        others = [host for host in hosts if host not in senders]
        receivers = tuple(sorted(rng.sample(others, rng.randint(1, len(others)))))
        number = rng.randint(1, left)
        ends = [placed((len(some), 1), ("",), some) for some in (senders, receivers)]
        moves.append(Move((number * CHUNK_BYTES,), 1, ends[0], (ends[1],)))
        left -= number
    return moves


def _small_mesh(rng: random.Random) -> Move:
    def spec() -> tuple[str, ...]:
        dims = ["", ""]
        if rng.random() < 0.7:
            dims[rng.randint(0, 1)] = "h"
        return tuple(dims)

    return move((rng.randint(1, 3), 1), (rng.randint(1, 3), 1), (420, 420), spec(), spec())
