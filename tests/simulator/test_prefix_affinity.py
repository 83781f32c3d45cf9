"""Four replicas: prompts go where their beginnings are, and no replica gets more than it can bear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.prefix_routing import TIMES, mooncake, route, sessions, skewed, strangers
from scheduling.cluster import ClusterScheduler
from simulator.generation.arrivals import limits_of_groups
from tests.simulator.generating_fleets import fleet as small_fleet
from tests.simulator.generating_fleets import generating, groups, trace_of
from vocabulary.deployment import Policy
from vocabulary.generation import Prefix, StepTimes
from vocabulary.messages import Arrived, Forward, GroupLost, GroupOpened, Settled
from vocabulary.request import Fate, Request

DATA = Path(__file__).parents[3] / "shared" / "data"


def cluster(num_groups: int, *, router: str = "prefix_affinity", **settings) -> ClusterScheduler:
    """Computing a token takes a second, a step nothing."""
    deployment = small_fleet(generating(times=StepTimes(0.0, 1.0), **settings), router=router)
    placement = groups(*["chat"] * num_groups)
    limits = limits_of_groups(placement, trace_of(deployment, ("chat", 0.0, 4, 1)), deployment=deployment)
    machine = ClusterScheduler(
        placement, catalog=deployment.catalog(), policy=deployment.policy, limits=limits
    )
    for index in range(num_groups):
        machine.observe(GroupOpened(index))
    return machine


def ask(request_id: int, arrival_s: float, *blocks: int, block_tokens: int = 64) -> Arrived:
    """A prompt of these blocks, chained, and a token more."""
    hashes = tuple(hash(blocks[: end + 1]) for end in range(len(blocks)))
    input_tokens = len(blocks) * block_tokens + 1
    lengths = {"input_tokens": input_tokens, "output_tokens": 1}
    return Arrived(Request(request_id, "chat", arrival_s, prefix=Prefix(hashes, block_tokens), **lengths))


def sent_to(machine: ClusterScheduler, now_s: float, arrived: Arrived) -> tuple[int, float]:
    """The group, and the predicted seconds to the end."""
    machine.observe(arrived)
    (command,) = machine.decide(now_s)
    assert isinstance(command, Forward)
    return command.group_index, command.predicted_finish_s - now_s


def served(machine: ClusterScheduler, now_s: float, *request_ids: int) -> None:
    for request_id in request_ids:
        machine.observe(Settled(request_id, Fate.SERVED, now_s))
    machine.decide(now_s)


def test_a_prompt_goes_where_its_beginning_is_and_what_is_there_takes_no_time() -> None:
    machine = cluster(2)
    assert sent_to(machine, 0.0, ask(0, 0.0, 1)) == (0, 65.0)
    assert sent_to(machine, 0.0, ask(1, 0.0, 2)) == (1, 65.0)
    served(machine, 65.0, 0, 1)
    # Both are idle, and group 0 would win a tie.
    assert sent_to(machine, 100.0, ask(2, 100.0, 2, 3)) == (1, 65.0)


def test_a_prompt_goes_elsewhere_when_waiting_takes_longer_than_computing_its_beginning() -> None:
    machine = cluster(2)
    sent_to(machine, 0.0, ask(0, 0.0, 1))
    served(machine, 65.0, 0)
    found = [sent_to(machine, 100.0, ask(number, 100.0, 1))[0] for number in range(1, 100)]
    first = found.index(1)
    assert 5 < first < 66, "about as many as the seconds that the beginning takes"
    # From then on both have it.
    assert 0.3 < sum(found[first:]) / len(found[first:]) < 0.7


def test_a_lost_group_has_no_beginnings_when_it_is_back() -> None:
    machine = cluster(2)
    sent_to(machine, 0.0, ask(0, 0.0, 1))
    sent_to(machine, 0.0, ask(1, 0.0, 2))
    served(machine, 65.0, 0, 1)
    machine.observe(GroupLost(1))
    machine.decide(70.0)
    machine.observe(GroupOpened(1))
    assert sent_to(machine, 100.0, ask(2, 100.0, 2)) == (0, 65.0)


def test_without_a_cache_affinity_is_the_shortest_delay() -> None:
    machine = cluster(2, has_prefix_cache=False)
    sent_to(machine, 0.0, ask(0, 0.0, 1))
    sent_to(machine, 0.0, ask(1, 0.0, 2))
    served(machine, 65.0, 0, 1)
    assert sent_to(machine, 100.0, ask(2, 100.0, 2)) == (0, 65.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_conversations_find_more_and_wait_less_with_affinity(seed: int) -> None:
    trace = sessions(rate_rps=6.0, duration_s=60.0, seed=seed)
    blind, turns, affine = (
        route(trace, workload="sessions", router=router)
        for router in ("shortest_expected_delay", "round_robin", "prefix_affinity")
    )
    for other in (blind, turns):
        assert affine.hit_rate > 1.2 * other.hit_rate
        assert affine.ttft_mean_s < 0.9 * other.ttft_mean_s
        assert affine.finish_mean_s <= other.finish_mean_s
    assert affine.largest_share < 0.4


@pytest.mark.parametrize("seed", [1, 2])
def test_a_beginning_that_most_share_overloads_no_replica(seed: int) -> None:
    trace = skewed(rate_rps=24.0, duration_s=40.0, seed=seed)
    blind, affine = (
        route(trace, workload="skewed", router=router, num_pages=3000)
        for router in ("shortest_expected_delay", "prefix_affinity")
    )
    assert affine.largest_share < 0.32
    assert affine.hit_rate >= blind.hit_rate
    # Where both have room, which of two equal replicas is taken moves a prompt by a step at most.
    assert affine.ttft_mean_s <= blind.ttft_mean_s + TIMES.constant_s


def test_where_nobody_shares_anything_all_is_as_without_affinity() -> None:
    trace = strangers(rate_rps=8.0, duration_s=40.0, seed=1)
    blind, affine = (
        route(trace, workload="strangers", router=router)
        for router in ("shortest_expected_delay", "prefix_affinity")
    )
    assert (affine.ttft_mean_s, affine.ttft_p99_s, affine.finish_mean_s, affine.largest_share) == (
        blind.ttft_mean_s,
        blind.ttft_p99_s,
        blind.finish_mean_s,
        blind.largest_share,
    )


def test_on_mooncake_documents_affinity_finds_more() -> None:
    if not (DATA / "traces" / "mooncake_fast25").is_dir():
        pytest.skip(f"no traces in {DATA}")
    trace = mooncake(DATA, most=250)
    assert np.all(np.diff(trace.arrival_s) >= 0)
    blind, affine = (
        route(trace, workload="mooncake", router=router, num_pages=40_000, max_batched_tokens=2048)
        for router in ("shortest_expected_delay", "prefix_affinity")
    )
    assert affine.hit_rate > blind.hit_rate
    assert affine.ttft_mean_s < blind.ttft_mean_s


def test_a_deployment_routes_by_affinity_unless_it_says_otherwise() -> None:
    assert Policy().router == "prefix_affinity"
    assert Policy().one_shot_router == "shortest_expected_delay"
    assert Policy(router="least_loaded").one_shot_router == "least_loaded"
