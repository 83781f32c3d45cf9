"""Fair queueing where it serves: the same machines on the simulator's clock, asked for more than there is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from scheduling.generation import GenerationScheduler
from scheduling.queueing import ORDERS
from scheduling.waiting_policies import WaitingLines
from simulator.fast_or_events import outcomes_of
from simulator.simulate import simulate
from tests.simulator.generating_fleets import fleet, generating, groups
from vocabulary.deployment import Deployment, Policy
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationLimits, Prefix, StepTimes
from vocabulary.outcomes import Outcomes
from vocabulary.request import Request
from vocabulary.tenant_service import service_by_tenant
from vocabulary.trace import Tenants, Tokens, Trace

# About an 8-billion-parameter model on one A100.
TIMES = StepTimes(0.012, 1e-4, 9e-8)
NUM_PAGES, PAGE_TOKENS, LENGTH = 128, 16, 128
SPAN_S = 60.0
# The paper's bound on the counters of those who wait: U = max(wp L_input, wq M).
U = max(1.0 * LENGTH, 2.0 * NUM_PAGES * PAGE_TOKENS)


def deployment(queue: str = "vtc", *, reserves_output: bool = True, **fairness) -> Deployment:
    model = generating(
        times=TIMES, stages=(1,), num_pages=NUM_PAGES, page_tokens=PAGE_TOKENS, max_batched_tokens=512,
        max_sequences=64, reserves_output=reserves_output,
    )  # fmt: skip
    return fleet(model, queue=queue, fairness=Fairness(**fairness))


def traffic(
    arrivals_s: Mapping[str, NDArray[np.float64]], *, lengths: tuple[int, int] = (LENGTH, LENGTH)
) -> Trace:
    """Requests of each tenant at its times, of so many tokens in and out."""
    times_s = np.concatenate([*arrivals_s.values()])
    index = np.repeat(
        np.arange(len(arrivals_s), dtype=np.int32), [len(times) for times in arrivals_s.values()]
    )
    order = np.argsort(times_s, kind="stable")
    num_input, num_output = (np.full(len(order), length, dtype=np.int32) for length in lengths)
    return Trace(
        times_s[order], np.zeros(len(order), dtype=np.int32), ("chat",), Tokens(num_input, num_output),
        Tenants(index[order], tuple(arrivals_s)),
    )  # fmt: skip


def steady(rate_rps: float, *, until_s: float = SPAN_S, from_s: float = 0.0) -> NDArray[np.float64]:
    return np.arange(from_s, until_s, 1.0 / rate_rps)


@cache
def backlogged(queue: str, weight: float = 1.0, span_s: float = SPAN_S) -> Outcomes:
    """One tenant asks for three times as much as the other, and both for more than there is."""
    arrivals_s = {"f": steady(4.0, until_s=span_s), "g": steady(12.0, until_s=span_s)}
    return simulate(groups("chat"), traffic(arrivals_s), deployment=deployment(queue, weights={"g": weight}))


def service_gap(outcomes: Outcomes, *, until_s: float) -> float:
    """The most that service of f and g over any interval within [0, until_s) differs."""
    f, g = (service_until(outcomes, name, until_s) for name in ("f", "g"))
    difference = f - g
    return float(difference.max() - difference.min())


def service_until(outcomes: Outcomes, tenant: str, until_s: float) -> NDArray[np.float64]:
    """Weighted tokens of a tenant before each of many times up to until_s."""
    trace = outcomes.trace
    assert trace.tenants is not None and trace.tokens is not None and outcomes.first_token_s is not None
    rows = trace.tenants.index == trace.tenants.names.index(tenant)
    at_s = np.arange(0.0, until_s, 0.25)[:, None]
    first_s, finish_s = outcomes.first_token_s[rows], outcomes.finish_s[rows]
    share = np.clip((at_s - first_s) / (finish_s - first_s), 0.0, 1.0)
    prompts = trace.tokens.input_tokens[rows] * (at_s >= first_s)
    return (prompts + 2 * trace.tokens.output_tokens[rows] * share).sum(axis=1)


def test_backlogged_tenants_get_the_same_within_the_papers_bound() -> None:
    fair, unfair = (service_gap(backlogged(queue), until_s=SPAN_S) for queue in ("vtc", "fcfs"))
    assert fair <= 2 * U
    assert unfair >= 10 * fair


def test_first_come_first_served_is_soon_ten_times_beyond_the_papers_bound() -> None:
    """The difference grows for as long as both are backlogged; under vtc it does not."""
    fair, unfair = (service_gap(backlogged(queue, 1.0, 100.0), until_s=100.0) for queue in ("vtc", "fcfs"))
    assert fair <= 2 * U
    assert unfair >= 10 * 2 * U


def test_predicted_answers_bring_tenants_closer() -> None:
    """They come in waves here, so that answers charged as they come are charged too late."""
    arrivals_s = {"f": steady(4.0), "g": steady(12.0)}
    found = simulate(groups("chat"), traffic(arrivals_s), deployment=deployment(predicts_output=True))
    assert service_gap(found, until_s=SPAN_S) <= 0.6 * service_gap(backlogged("vtc"), until_s=SPAN_S)


def test_weights_of_one_and_three_give_three_times_the_service() -> None:
    served = {name: service_until(backlogged("vtc", 3.0), name, SPAN_S) for name in ("f", "g")}
    assert served["g"][-1] / served["f"][-1] == pytest.approx(3.0, abs=0.1)


def test_fairness_costs_no_throughput() -> None:
    ends_s = {queue: backlogged(queue).finish_s.max() for queue in ("fcfs", "vtc")}
    assert ends_s["fcfs"] / ends_s["vtc"] >= 0.98


def test_a_modest_tenant_does_not_wait_behind_a_flood() -> None:
    arrivals_s = {"modest": steady(0.5), "flood": steady(12.0)}
    first_s = {}
    for queue in ("fcfs", "vtc"):
        found = simulate(groups("chat"), traffic(arrivals_s), deployment=deployment(queue))
        first_s[queue] = service_by_tenant(found, Fairness())["modest"].ttft_p99_s
    assert first_s["vtc"] < 2.0 < 50.0 < first_s["fcfs"]


@pytest.mark.parametrize(("cost", "lowest", "highest"), [("linear", 0.45, 0.55), ("measured", 0.8, 1.0)])
def test_seconds_count_over_all_models_of_a_group(cost: str, lowest: float, highest: float) -> None:
    """One tenant floods two models, another only one of them: what it lacks there it gets here."""
    settings = {
        "stages": (1,), "num_pages": 64, "page_tokens": 16, "max_batched_tokens": 256, "max_sequences": 4,
        "reserves_output": True,
    }  # fmt: skip
    models = (generating("a", times=TIMES, **settings), generating("b", times=TIMES, **settings))
    chosen = fleet(*models, queue="vtc", fairness=Fairness(cost=cost))
    rows = [("wide", 0), ("wide", 1), ("narrow", 0)]
    index = np.tile(np.arange(len(rows)), 60)
    length = np.full(len(index), 64, dtype=np.int32)
    trace = Trace(
        np.arange(len(index)) / 1000.0,
        np.array([model for _, model in rows], dtype=np.int32)[index],
        ("a", "b"),
        Tokens(length, length),
        Tenants(np.array([0, 0, 1], dtype=np.int32)[index], ("wide", "narrow")),
    )
    found = simulate(groups("a b"), trace, deployment=chosen)
    first_of_a = np.flatnonzero(trace.model_index == 0)
    first_of_a = first_of_a[np.argsort(found.finish_s[first_of_a], kind="stable")][:40]
    assert trace.tenants is not None
    assert lowest <= (trace.tenants.index[first_of_a] == 1).mean() <= highest


@pytest.mark.parametrize("others_wait", [True, False])
def test_who_returns_has_no_credit_from_the_time_away(others_wait: bool) -> None:
    """Away for half a minute while the other is served; then both flood, and have half each from then on."""
    flood = steady(10.0, from_s=30.0, until_s=50.0)
    arrivals_s = {
        "f": np.concatenate([steady(1.0, until_s=1.0), flood]),
        "g": np.concatenate([steady(8.0 if others_wait else 2.0, until_s=30.0), flood]),
    }
    found = simulate(groups("chat"), traffic(arrivals_s), deployment=deployment())
    f, g = (service_until(found, name, 50.0) for name in ("f", "g"))
    missed_s = 30.0 - arrivals_s["f"][0]
    assert missed_s * g[119] / 30.0 > 3 * U, "the credit is far more than the bound"
    gap = (f - f[120]) - (g - g[120])
    assert float(np.abs(gap[120:]).max()) <= 2 * U


@pytest.mark.parametrize("limits", [{}, {"num_host_pages": 64}, {"has_prefix_cache": True}])
def test_what_a_preemption_computes_again_is_not_charged_again(limits: dict) -> None:
    """Every counter is what the tenant's requests have been answered, to the token."""
    policy = Policy(queue="vtc")
    found = GenerationLimits(40, 4, max_batched_tokens=32, max_sequences=8, **limits)
    charged: dict[int, list[int]] = {}
    make = WaitingLines(policy).of_model((TIMES,), found)
    assert make is not None
    told = []

    def listening(matched):
        line = make(matched)
        told.append(line)
        return line

    scheduler = GenerationScheduler(found, order=ORDERS["fcfs"], waiting=listening)
    requests = [
        Request(number, "chat", 0.0, input_tokens=20 + number, output_tokens=40, tenant="fg"[number % 2])
        for number in range(8)
    ]
    for request in requests:
        scheduler.push(request)
    while (step := scheduler.next_step()) is not None:
        scheduler.finish(step)
    assert scheduler.statistics.num_preempted > 0
    (line,) = told
    for tenant in "fg":
        asked = sum(one.input_tokens + 2 * one.output_tokens for one in requests if one.tenant == tenant)
        assert line._counters.of(tenant) == asked
    assert not charged


@pytest.mark.parametrize("predicts_output", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_counters_of_tenants_that_wait_stay_within_the_bound(seed: int, predicts_output: bool) -> None:
    """Lemma of the paper: the most and the least served of those who wait are never more than U apart."""
    drawn = np.random.default_rng(seed)
    limits = GenerationLimits(64, 16, max_batched_tokens=128, max_sequences=16, reserves_output=True)
    bound = max(1.0 * 200, 2.0 * limits.num_pages * limits.page_tokens)
    lines = []
    policy = Policy(queue="vtc", fairness=Fairness(predicts_output=predicts_output))
    make = WaitingLines(policy).of_model((TIMES,), limits)
    assert make is not None
    scheduler = GenerationScheduler(
        limits, order=ORDERS["fcfs"], waiting=lambda matched: lines.append(make(matched)) or lines[0]
    )
    widest = 0.0
    for number in range(1500):
        if drawn.random() < 0.25:
            tenant = f"t{min(drawn.geometric(0.4), 5)}"
            lengths = {
                "input_tokens": int(drawn.integers(1, 200)),
                "output_tokens": int(drawn.integers(1, 120)),
            }
            scheduler.push(Request(number, "chat", float(number), tenant=tenant, **lengths))
        step = scheduler.next_step()
        waiting = {one.tenant for one in lines[0].members()}
        counters = [lines[0]._counters.of(tenant) for tenant in waiting]
        widest = max(widest, max(counters, default=0.0) - min(counters, default=0.0))
        if step is not None:
            scheduler.finish(step)
    assert 0.0 < widest <= bound


def test_a_trace_with_tenants_is_simulated_event_by_event_under_vtc() -> None:
    trace = traffic({"f": steady(1.0, until_s=5.0), "g": steady(2.0, until_s=5.0)})
    chosen = deployment()
    automatic = outcomes_of(groups("chat"), trace, deployment=chosen)
    assert np.array_equal(automatic.finish_s, simulate(groups("chat"), trace, deployment=chosen).finish_s)


@pytest.mark.parametrize("queue", ["vtc", "longest_prefix", "depth_first"])
@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_when_people_leave_and_steps_fail(queue: str, seed: int) -> None:
    """Samples, preemptions, swaps, cancelled requests, failed steps, two steps in flight."""
    drawn = np.random.default_rng(seed)
    limits = GenerationLimits(
        30,
        4,
        max_batched_tokens=32,
        max_sequences=8,
        has_prefix_cache=True,
        num_host_pages=int(seed % 2) * 20,
    )
    lines = []
    fairness = Fairness(within=("fcfs", "longest_prefix")[seed % 2], predicts_output=seed >= 3)
    policy = Policy(queue=queue, fairness=fairness, max_overtaken=3)
    make = WaitingLines(policy).of_model((TIMES, TIMES), limits)
    assert make is not None
    scheduler = GenerationScheduler(
        limits, order=ORDERS["fcfs"], num_stages=2,
        waiting=lambda matched: lines.append(make(matched)) or lines[0],
    )  # fmt: skip
    settled: list[int] = []
    flight = []
    num_pushed = 0
    for step_number in range(600):
        if num_pushed < 150 and drawn.random() < 0.5:
            chain = tuple(range(int(drawn.integers(1, 4)) * 100, 10**9, 10**8))[: int(drawn.integers(1, 5))]
            request = Request(
                num_pushed, "chat", float(step_number), input_tokens=int(drawn.integers(1, 30)),
                output_tokens=int(drawn.integers(1, 30)), num_samples=int(drawn.integers(1, 3)),
                tenant=f"t{drawn.integers(4)}", prefix=Prefix(chain, 4),
            )  # fmt: skip
            num_pushed += 1
            if scheduler.can_ever_run(request):
                scheduler.push(request)
            else:
                settled.append(request.id)
        if drawn.random() < 0.1 and num_pushed:
            gone = int(drawn.integers(num_pushed))
            if gone not in settled and scheduler.drop(gone):
                settled.append(gone)
        if len(flight) < 2 and (step := scheduler.next_step()) is not None:
            flight.append(step)
        elif flight:
            progress = scheduler.finish(flight.pop(0), failed=bool(drawn.random() < 0.03))
            settled += [*progress.finished_ids, *progress.dropped_ids, *progress.failed_ids]
    while flight or (step := scheduler.next_step()) is not None:
        if not flight:
            flight.append(step)
        progress = scheduler.finish(flight.pop(0))
        settled += [*progress.finished_ids, *progress.dropped_ids, *progress.failed_ids]
    (line,) = lines
    assert sorted(settled) == list(range(num_pushed))
    assert len(line) == 0 and line.head() is None
    if queue == "vtc":
        counters = line._counters
        assert not line._running and not line._expected
        assert not counters._num_running and not counters._num_lines and not counters._expected
