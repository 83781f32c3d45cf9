"""The Virtual Token Counter by itself: who is next, where a tenant starts, what counts."""

from __future__ import annotations

import random
from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.fairness import VirtualTokenCounter
from scheduling.fairness_costs import LinearCost, MeasuredCost, ProfiledCost, Service, cost_of
from scheduling.fairness_counters import TenantCounters
from scheduling.fairness_places import QueuePlaces
from scheduling.queueing import ORDERS, Queue
from scheduling.waiting_by_prefix import LongestPrefixFirst
from vocabulary.fairness import Fairness
from vocabulary.generation import GenerationLimits, StepTimes
from vocabulary.request import Request

LIMITS = GenerationLimits(num_pages=100, max_batched_tokens=100, max_sequences=10)
_IDS = count()


def request(
    tenant: str, *, arrival_s: float = 0.0, input_tokens: int = 10, output_tokens: int = 1000
) -> Request:
    return Request(
        next(_IDS), "chat", arrival_s, input_tokens=input_tokens, output_tokens=output_tokens, tenant=tenant
    )


def line(counters: TenantCounters | None = None, **fairness) -> VirtualTokenCounter:
    cost = cost_of(Fairness(**fairness), times=(StepTimes(1.0, 0.1),), limits=LIMITS)
    counters = TenantCounters(fairness.get("weights")) if counters is None else counters
    return VirtualTokenCounter(
        counters,
        cost=cost,
        within=lambda: Queue(ORDERS["fcfs"]),
        predicts=bool(fairness.get("predicts_output")),
    )


def serve(line: VirtualTokenCounter, one: Request, num_output: int = 0, *, num_cached: int = 0) -> None:
    line.served(one, num_input=one.input_tokens - num_cached, num_output=num_output, num_cached=num_cached)


def pop_and_serve(line: VirtualTokenCounter, num_output: int = 0) -> Request:
    popped = line.pop()
    serve(line, popped, num_output)
    return popped


def test_the_tenant_with_least_service_is_next_whoever_came_first() -> None:
    waiting = line()
    for tenant in ("greedy", "greedy", "greedy", "modest"):
        waiting.push(request(tenant))
    assert [pop_and_serve(waiting).tenant for _ in range(4)] == ["greedy", "modest", "greedy", "greedy"]


def test_drawn_tokens_count_while_a_request_runs() -> None:
    waiting = line()
    for tenant in ("a", "a", "b", "b", "b"):
        waiting.push(request(tenant))
    first, second = pop_and_serve(waiting), pop_and_serve(waiting)
    assert (first.tenant, second.tenant) == ("a", "b")
    waiting.served(first, num_input=0, num_output=100, num_cached=0)
    assert [pop_and_serve(waiting).tenant for _ in range(3)] == ["b", "b", "a"]


def test_twice_the_weight_is_twice_the_service() -> None:
    waiting = line(weights={"gold": 2.0})
    for _ in range(30):
        waiting.push(request("gold"))
        waiting.push(request("plain"))
    served = [pop_and_serve(waiting).tenant for _ in range(30)]
    assert served.count("gold") == 20


def test_answers_may_count_when_they_begin_as_long_as_predicted() -> None:
    """Without it the tenant that came first takes several places at once, and is charged later."""
    plain, predicting = line(), line(predicts_output=True)
    for waiting in (plain, predicting):
        for _ in range(3):
            waiting.push(request("long", input_tokens=1, output_tokens=500))
            waiting.push(request("short", input_tokens=50, output_tokens=1))
    assert [pop_and_serve(plain).tenant for _ in range(4)].count("long") == 3
    assert [pop_and_serve(predicting).tenant for _ in range(4)].count("long") == 1


def test_what_an_answer_is_shorter_than_predicted_is_given_back() -> None:
    waiting = line(predicts_output=True)
    for tenant in ("a", "a", "b", "b"):
        waiting.push(request(tenant, input_tokens=1, output_tokens=100))
    first, second = pop_and_serve(waiting), pop_and_serve(waiting)
    assert (first.tenant, second.tenant) == ("a", "b")
    waiting.served(first, num_input=0, num_output=10, num_cached=0)
    waiting.served(second, num_input=0, num_output=5, num_cached=0)
    waiting.left(first)
    assert waiting.pop().tenant == "a"


def test_what_an_answer_is_longer_than_predicted_counts_as_it_comes() -> None:
    counters = TenantCounters()
    waiting = line(counters, predicts_output=True)
    long = msgspec.structs.replace(request("a"), expected_tokens=5)
    waiting.push(long)
    waiting.push(request("a"))
    pop_and_serve(waiting)
    for _ in range(20):
        waiting.served(long, num_input=0, num_output=1, num_cached=0)
    waiting.left(long)
    assert counters.of("a") == long.input_tokens + 2 * 20


def test_who_comes_back_while_others_wait_starts_at_the_least_of_them() -> None:
    counters = TenantCounters()
    waiting = line(counters)
    waiting.push(request("away"))
    waiting.left(pop_and_serve(waiting))
    for _ in range(50):
        waiting.push(request("busy"))
    for _ in range(40):
        waiting.left(pop_and_serve(waiting))
    for _ in range(9):
        waiting.push(request("away", arrival_s=1.0))
    # Without the lift all nine would be served first: "away" had a fortieth of the service.
    served = [pop_and_serve(waiting).tenant for _ in range(8)]
    assert served.count("away") == 4


def test_who_comes_back_while_nobody_waits_starts_where_the_last_one_is() -> None:
    """The case that the published code misses: others only run, so that no queued counter lifts."""
    counters = TenantCounters()
    waiting = line(counters)
    waiting.push(request("away"))
    waiting.left(pop_and_serve(waiting))
    for _ in range(40):
        waiting.push(request("busy"))
        pop_and_serve(waiting, num_output=10)
    for _ in range(9):
        waiting.push(request("away", arrival_s=1.0))
    assert waiting.head() is not None
    assert counters.of("away") == counters.of("busy")
    for _ in range(9):
        waiting.push(request("busy", arrival_s=2.0))
    served = [pop_and_serve(waiting).tenant for _ in range(8)]
    assert served.count("away") == 4


def test_who_is_owed_nothing_is_not_lifted() -> None:
    counters = TenantCounters()
    waiting = line(counters)
    waiting.push(request("greedy"))
    waiting.push(request("modest"))
    greedy = pop_and_serve(waiting, num_output=500)
    waiting.push(request("greedy"))
    assert waiting.head() is not None
    assert counters.of("greedy") == greedy.input_tokens + 2 * 500


def test_within_an_instant_it_does_not_matter_in_which_order_requests_are_pushed() -> None:
    firsts = [request(tenant) for tenant in "abcab"]
    seconds = [request(tenant, arrival_s=1.0) for tenant in "cdeab"]
    orders = set()
    for seed in range(20):
        shuffled = random.Random(seed)
        waiting = line()
        for requests in (firsts, seconds):
            for one in shuffled.sample(requests, len(requests)):
                waiting.push(one)
            pop_and_serve(waiting, num_output=7)
        orders.add(tuple(pop_and_serve(waiting).id for _ in range(8)))
    assert len(orders) == 1


def test_a_chunk_counts_when_it_is_computed() -> None:
    counters = TenantCounters()
    waiting = line(counters)
    waiting.push(request("a", input_tokens=100))
    popped = waiting.pop()
    for num_input in (60, 30, 10):
        before = counters.of("a")
        waiting.served(popped, num_input=num_input, num_output=0, num_cached=0)
        assert counters.of("a") - before == num_input


@pytest.mark.parametrize(("fraction", "expected"), [(0.0, 20.0), (0.25, 40.0), (1.0, 100.0)])
def test_cached_tokens_count_a_fraction(fraction: float, expected: float) -> None:
    counters = TenantCounters()
    waiting = line(counters, cached_fraction=fraction)
    waiting.push(request("a", input_tokens=100))
    serve(waiting, waiting.pop(), num_cached=80)
    assert counters.of("a") == pytest.approx(expected)


def test_what_is_told_of_a_prompt_beyond_its_length_counts_nothing() -> None:
    counters = TenantCounters()
    waiting = line(counters, cached_fraction=1.0)
    waiting.push(request("a", input_tokens=100))
    popped = waiting.pop()
    serve(waiting, popped)
    waiting.served(popped, num_input=30, num_output=0, num_cached=70)
    assert counters.of("a") == 100.0


def test_forgotten_requests_leave_their_tenant() -> None:
    waiting = line()
    first, second = request("a"), request("b")
    waiting.push(first)
    waiting.push(second)
    assert waiting.remove(first.id) and not waiting.remove(first.id)
    assert [one.id for one in waiting.members()] == [second.id] and len(waiting) == 1
    assert waiting.pop() == second
    assert waiting.head() is None and not len(waiting)


def test_within_a_tenant_the_longest_prefix_may_be_first() -> None:
    requests = [request("a"), request("a"), request("b")]
    matched = dict(zip((one.id for one in requests), (0, 16, 64), strict=True))
    waiting = VirtualTokenCounter(
        TenantCounters(),
        cost=LinearCost(1.0, 2.0, cached_fraction=0.0),
        within=lambda: LongestPrefixFirst(lambda one: matched[one.id]),
    )
    for one in requests:
        waiting.push(one)
    assert [pop_and_serve(waiting).id for _ in range(3)] == [requests[index].id for index in (1, 2, 0)]


def test_counters_of_who_is_gone_are_forgotten() -> None:
    counters = TenantCounters()
    waiting = line(counters)
    for number in range(5000):
        waiting.push(request(f"guest {number}", arrival_s=float(number)))
        waiting.left(pop_and_serve(waiting))
    assert len(counters.known()) < 200


def test_tenants_that_give_up_waiting_are_forgotten() -> None:
    counters = TenantCounters()
    waiting = line(counters)
    for _ in range(3):
        waiting.push(request("patient"))
    for number in range(2000):
        guest = request(f"guest {number}", arrival_s=1.0 + number)
        waiting.push(guest)
        assert waiting.remove(guest.id)
    assert waiting.pop().tenant == "patient"
    assert len(counters.known()) < 200
    assert len(waiting._least._entries) < 200


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_forgetting_counters_changes_nothing(seed: int) -> None:
    """A line that forgets eagerly serves the same as one that never does."""
    eager, never = TenantCounters(), TenantCounters()
    never._limit = 10**9
    drawn, lines = random.Random(seed), (line(eager), line(never))
    running: list[Request] = []
    for step in range(120):
        eager._limit = 0
        for _ in range(drawn.randrange(3)):
            one = request(
                f"t{drawn.randrange(12)}", arrival_s=float(step), input_tokens=drawn.randrange(1, 50)
            )
            for each in lines:
                each.push(one)
        heads = [each.head() for each in lines]
        assert heads[0] == heads[1]
        if heads[0] is not None and drawn.random() < 0.7:
            popped = [pop_and_serve(each) for each in lines]
            running.append(popped[0])
        for one in [one for one in running if drawn.random() < 0.3]:
            num_output = drawn.randrange(1, 30)
            for each in lines:
                each.served(one, num_input=0, num_output=num_output, num_cached=0)
                each.left(one)
            running.remove(one)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_the_floor_never_sinks(seed: int) -> None:
    counters, drawn = TenantCounters({"t0": 3.0}), random.Random(seed)
    waiting, running, floor = line(counters), [], 0.0
    for step in range(100):
        if drawn.random() < 0.6:
            waiting.push(request(f"t{drawn.randrange(5)}", arrival_s=float(step)))
        if drawn.random() < 0.5 and waiting.head() is not None:
            running.append(pop_and_serve(waiting))
        for one in running:
            waiting.served(one, num_input=0, num_output=1, num_cached=0)
        if running and drawn.random() < 0.3:
            waiting.left(running.pop(drawn.randrange(len(running))))
        if len(waiting) and drawn.random() < 0.1:
            waiting.remove(next(waiting.members()).id)
        assert counters.floor >= floor
        floor = counters.floor


def test_the_published_quadratic_is_charged_by_its_differences() -> None:
    cost, had, total = ProfiledCost(cached_fraction=0.0), Service(), 0.0
    for more in (Service(100), Service(156), *[Service(0, 1)] * 64):
        total += cost.of(more, had, 1)
        had = Service(had.num_input + more.num_input, had.num_output + more.num_output)
    x, y = 256, 64
    published = 0.21001891 * x + 0.10075395 * y + 0.0039868 * x * y + 0.00324733 * y * y + 1.14601454
    assert total == pytest.approx(published)


def test_measured_service_is_what_the_engine_spent() -> None:
    """Alone on the engine, a request costs the seconds of its steps."""
    times = StepTimes(0.5, 0.25, 0.0625)
    cost = MeasuredCost((times,), LIMITS, cached_fraction=0.0)
    prompt_s = cost.of(Service(100, 1), Service(), 1)
    assert prompt_s == times.of(100, 0)
    assert cost.of(Service(0, 1), Service(100, 1), 1) == times.of(1, 101)
    shared_s = cost.of(Service(0, 1), Service(100, 1), 10)
    assert shared_s == pytest.approx(times.of(10, 1010) / 10)


def test_models_of_a_group_share_counters_of_seconds() -> None:
    counters = TenantCounters()
    chat, code = line(counters), line(counters)
    for tenant in ("both", "one"):
        chat.push(request(tenant))
    code.push(request("both"))
    assert chat.head() is not None and code.head() is not None
    pop_and_serve(code, num_output=50)
    assert chat.pop().tenant == "one"


def test_a_flood_leaves_places_for_others() -> None:
    places = QueuePlaces(12, shared=frozenset({"chat"}))

    def fill(tenant: str, *, model: str = "chat") -> int:
        num_taken = 0
        while places.has_room(model, tenant):
            places.take(model, tenant)
            num_taken += 1
        return num_taken

    assert fill("flood") == 6
    assert fill("second") == 3
    assert places.has_room("chat", "third")
    places.give_back("chat", "flood")
    assert fill("second") == 1
    assert fill("anybody", model="embed") == 12
    assert not places.has_room("embed", "other")
