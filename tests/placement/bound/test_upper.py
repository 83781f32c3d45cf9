"""What the bound says where the truth is known: capacity, memory, deadlines; and that it only gets lower."""

from dataclasses import replace

import numpy as np
import pytest

from placement.bound.bursts import Bursts, bursts_of
from placement.bound.fleet import choices_of
from placement.bound.parts import solved, split
from placement.bound.upper import upper_bound
from tests.placement import published
from tests.placement.fleets import ONE_DEVICE_ONLY, deployment, model, profile, requests
from vocabulary.deployment import Policy, Slo
from vocabulary.trace import Tokens, Trace

NAMES = published.NAMES
LATENCY_S = 0.2
EVENLY = Trace(np.arange(200) * 0.05, np.zeros(200, dtype=np.int32), ("a",))


def test_what_is_served_with_ease_is_bounded_by_one() -> None:
    bound = upper_bound(deployment(model("a", 60), model("b", 60)), requests({"a": 1.0, "b": 1.0}))
    assert bound.attainment == 1.0
    assert bound.is_exact, bound.why_not


def test_an_overloaded_device_is_bounded_by_what_it_can_do() -> None:
    """5 requests a second are served of 20, and after the last arrival those that may still wait."""
    fleet = deployment(model("a", 60, (1, 1)), num_devices=1)
    bound = upper_bound(fleet, EVENLY)
    most = (EVENLY.duration_s + 5 * LATENCY_S) // LATENCY_S
    assert most <= bound.attainment * len(EVENLY) <= most + 1


def test_random_arrivals_at_one_device_are_bounded_close_to_what_earliest_deadline_first_serves() -> None:
    """The clairvoyant optimum of equal requests on one device is found by taking who can still be in time."""
    trace = requests({"a": 8.0}, duration_s=60.0, seed=3)
    fleet = deployment(model("a", 60, (1, 1)), num_devices=1)
    free_s, most = 0.0, 0
    for arrival_s in trace.arrival_s:
        end_s = max(free_s, arrival_s) + LATENCY_S
        if end_s <= arrival_s + 5 * LATENCY_S:
            free_s, most = end_s, most + 1
    assert most <= upper_bound(fleet, trace).attainment * len(trace) <= 1.03 * most


def test_a_device_that_holds_one_of_two_equal_models_serves_half() -> None:
    models = (model("a", 60, (1, 1)), model("b", 60, (1, 1)))
    fleet = deployment(*models, num_devices=1)
    trace = requests({"a": 0.5, "b": 0.5})
    assert upper_bound(fleet, trace).attainment == pytest.approx(0.5)


def test_a_request_that_can_be_in_time_nowhere_is_not_served() -> None:
    slow = replace(model("slow", 60), profile=profile(60, (1, 1), latency_s=10 * LATENCY_S))
    fleet = deployment(model("a", 10), slow, num_devices=1)
    trace = requests({"a": 1.0, "slow": 1.0})
    assert upper_bound(fleet, trace).attainment == 0.5


def test_a_model_too_large_for_any_group_is_not_served() -> None:
    fleet = deployment(model("a", 10), model("vast", 1000))
    assert upper_bound(fleet, requests({"a": 1.0, "vast": 1.0})).attainment == 0.5


def test_a_reserved_device_serves_nobody() -> None:
    fleet = deployment(model("a", 60, (1, 1)), num_devices=2)
    kept = replace(fleet, cluster=replace(fleet.cluster, reserved=(fleet.cluster.devices[0].id,)))
    alone = deployment(model("a", 60, (1, 1)), num_devices=1)
    assert upper_bound(kept, EVENLY).attainment == upper_bound(alone, EVENLY).attainment
    assert upper_bound(fleet, EVENLY).attainment > upper_bound(kept, EVENLY).attainment


def test_replicas_max_is_kept() -> None:
    few = model("a", 60, (1, 1), max_replicas=1, parallelism=ONE_DEVICE_ONLY)
    alone = deployment(model("a", 60, (1, 1)), num_devices=1)
    assert upper_bound(deployment(few), EVENLY).attainment == upper_bound(alone, EVENLY).attainment


def test_trimmed_requests_do_not_count() -> None:
    fleet = deployment(model("a", 60, (1, 1)), num_devices=1)
    burst = np.concatenate([np.zeros(100), np.arange(1, 101) * 1.0])
    trace = Trace(burst, np.zeros(200, dtype=np.int32), ("a",))
    assert upper_bound(fleet, trace).attainment < 0.6
    assert upper_bound(fleet, trace, trim_s=60.0).attainment > 0.9


def test_a_model_without_slo_needs_a_place_but_no_time() -> None:
    patient = model("a", 60, (1, 1), slo=Slo())
    assert upper_bound(deployment(patient, num_devices=1), EVENLY).attainment == 1.0


def test_nothing_is_assumed_of_how_long_answers_of_tokens_take() -> None:
    ones = np.ones(len(EVENLY), dtype=np.int32)
    asking = Trace(EVENLY.arrival_s, EVENLY.model_index, EVENLY.models, Tokens(ones, ones))
    fleet = deployment(model("a", 60, (1, 1)), num_devices=1)
    assert upper_bound(fleet, asking).attainment == 1.0


def test_without_time_the_bound_is_what_could_be_in_time_at_all_and_says_so() -> None:
    fleet = deployment(model("a", 10), model("vast", 1000))
    bound = upper_bound(fleet, requests({"a": 9.0, "vast": 9.0}), budget_s=0.0)
    assert bound.attainment == 0.5
    assert not bound.is_exact
    assert bound.why_not == "the budget ended first"


def test_no_requests_are_all_served() -> None:
    nobody = Trace(np.zeros(0), np.zeros(0, dtype=np.int32), ("a",))
    assert upper_bound(deployment(model("a", 60)), nobody).attainment == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_narrower_windows_never_raise_the_bound(seed: int) -> None:
    fleet = deployment(model("a", 60), model("b", 30, slo=Slo(0.7)), num_devices=2)
    trace = requests({"a": 9.0, "b": 9.0}, duration_s=20.0, seed=seed)
    narrow = bursts_of(trace, np.array([0.0, 0.0]))
    wide = in_pairs(narrow)
    assert most_in(fleet, narrow) <= most_in(fleet, wide) + 1e-3 <= most_in(fleet, in_pairs(wide)) + 2e-3


def test_pieces_of_a_trace_are_bounded_by_no_less_than_the_whole() -> None:
    fleet = deployment(model("a", 60), model("b", 60), num_devices=2)
    trace = requests({"a": 9.0, "b": 9.0}, duration_s=20.0)
    rows = np.arange(len(trace))
    widths_s = np.array([0.1, 0.1])
    whole = most_in(fleet, bursts_of(trace, widths_s))
    pieces = [most_in(fleet, bursts_of(trace.take(part), widths_s)) for part in np.array_split(rows, 3)]
    assert whole <= sum(pieces) + 1e-3


def test_batches_raise_the_bound_and_only_where_they_are_allowed() -> None:
    single = model("a", 60, (1, 1))
    entry = next(iter(single.profile.entries.values()))
    cheap = replace(entry, stage_latency_s={1: (LATENCY_S,), 4: (2 * LATENCY_S,)})
    batching = replace(single, profile=replace(single.profile, entries={entry.config: cheap}))
    fleet = deployment(batching, num_devices=1)
    alone = upper_bound(fleet, EVENLY).attainment
    together = upper_bound(replace(fleet, policy=Policy(batching="deadline")), EVENLY).attainment
    assert alone < 0.3
    assert together == pytest.approx(2 * alone, rel=0.1)


def test_choices_that_matter_are_told_apart_next() -> None:
    fleet = deployment(model("a", 60))
    choices = choices_of(fleet, generating=[False])
    parts = split((tuple(range(len(choices))),), choices, np.array([1.0, 0.0, 0.0, 1.0, 0.0]))
    assert parts == ((0,), (3,), (1, 2, 4))
    assert split(parts, choices, np.zeros(5)) == parts


@published.needed
@pytest.mark.parametrize("name", NAMES)
def test_no_published_plan_exceeds_the_bound(name: str) -> None:
    found = upper_bound(published.deployment(name), published.trace(name, "train"), trim_s=10.0, budget_s=4.0)
    best = max(figure["goodput_train"] for figure in published.figures(name).values())
    assert best <= found.attainment


@published.needed
@pytest.mark.parametrize("name", [NAMES[0], NAMES[2]])
def test_the_bound_of_a_published_workload_says_something(name: str) -> None:
    found = upper_bound(published.deployment(name), published.trace(name, "train"), trim_s=10.0)
    assert found.is_exact
    assert found.attainment < 1.0


def in_pairs(bursts: Bursts) -> Bursts:
    """Every second window joined with the next one of its model."""
    places = [np.flatnonzero(bursts.model == index) for index in np.unique(bursts.model)]
    first = np.concatenate([place[::2] for place in places])
    last = np.concatenate([np.append(place[1::2], place[-1:] if len(place) % 2 else []) for place in places])
    last = last.astype(int)
    count = np.where(first == last, bursts.count[first], bursts.count[first] + bursts.count[last])
    return Bursts(bursts.model[first], bursts.first_s[first], bursts.last_s[last], count)


def most_in(fleet, bursts: Bursts) -> float:
    choices = choices_of(fleet, generating=[False] * len(fleet.models))
    return solved(fleet, choices, bursts, stop_s=np.inf).at_most
