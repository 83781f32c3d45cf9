"""When traffic is no longer what a plan was made for, and when it only looks so."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from placement.drift import (
    Drift,
    Expectation,
    Observation,
    Rhythm,
    drift,
    expectation_of,
    rescaled,
    rhythms_of,
)
from simulator.traffic.workload import generate
from tests.placement.fleets import deployment, model
from vocabulary.deployment import Workload
from vocabulary.trace import Trace
from vocabulary.versions import Split

WINDOW_S = 300.0


def traffic(
    rates: Mapping[str, float], *, cv: float = 1.0, seed: int = 0, duration_s: float = WINDOW_S
) -> Trace:
    workloads = {name: Workload(rate, cv) for name, rate in rates.items()}
    return generate(workloads, duration_s=duration_s, seed=seed)


def compared(old: Trace, new: Trace, **counts: int) -> Drift:
    return drift(expectation_of(old), Observation(rhythms_of(new, span_s=WINDOW_S), **counts))


def test_the_same_traffic_drawn_anew_is_no_drift_however_bursty() -> None:
    rates = {"a": 10.0, "b": 2.0, "c": 0.05}
    for cv in (1.0, 4.0):
        for seed in range(1, 40):
            assert not compared(traffic(rates, cv=cv), traffic(rates, cv=cv, seed=seed)), (cv, seed)


def test_a_rate_that_doubles_is_told_with_both_rates() -> None:
    found = compared(traffic({"a": 10.0, "b": 5.0}), traffic({"a": 20.0, "b": 5.0}, seed=1))
    assert len(found.reasons) == 1
    assert found.reasons[0].startswith("a is asked for 20")
    assert found.reasons[0].endswith("were expected")


def test_popularity_that_changes_hands_is_told_of_both() -> None:
    found = compared(traffic({"a": 9.0, "b": 1.0}), traffic({"a": 1.0, "b": 9.0}, seed=1))
    assert len(found.reasons) == 2


def test_a_model_that_hardly_counts_does_not_make_a_drift() -> None:
    old, new = traffic({"a": 100.0, "b": 0.1}), traffic({"a": 100.0, "b": 0.5}, seed=1)
    assert not compared(old, new)


def test_the_same_rate_in_bursts_is_a_drift() -> None:
    found = compared(traffic({"a": 10.0}), traffic({"a": 10.0}, cv=3.0, seed=1))
    assert any("vary by" in reason for reason in found.reasons)


def test_a_window_with_too_little_says_nothing() -> None:
    few = drift(Expectation({"a": Rhythm(5.0, 10.0)}), Observation({"a": Rhythm(0.0, 1.0)}))
    assert not few


def test_attainment_below_the_promise_is_a_drift_once_that_is_sure() -> None:
    rhythms = {"a": Rhythm(3000.0, WINDOW_S)}
    promised = Expectation(rhythms, attainment=0.99)
    assert drift(promised, Observation(rhythms, num_answered=3000, num_good=2700))
    assert not drift(promised, Observation(rhythms, num_answered=3000, num_good=2950))
    assert not drift(promised, Observation(rhythms, num_answered=50, num_good=10))
    assert not drift(Expectation(rhythms), Observation(rhythms, num_answered=3000, num_good=0))


def test_models_that_nobody_expected_or_that_are_gone_count() -> None:
    assert compared(traffic({"a": 5.0}), traffic({"a": 5.0, "b": 5.0}, seed=1))
    assert compared(traffic({"a": 5.0, "b": 5.0}), traffic({"a": 5.0}, seed=1))


def test_a_split_that_was_changed_is_expected_to_change_rates() -> None:
    old, new = (Split("m", (("v1", one), ("v2", 100.0 - one))) for one in (95.0, 50.0))
    fleet = deployment(model("m@v1", 10), model("m@v2", 10))
    fleet = type(fleet)(fleet.name, fleet.cluster, fleet.models, splits=(new,))
    expected = Expectation({"m@v1": Rhythm(9500.0, 1000.0), "m@v2": Rhythm(500.0, 1000.0)})
    found = rescaled(expected, fleet, {"m": old})
    assert [found.rhythms[name].num_arrivals for name in ("m@v1", "m@v2")] == [5000.0, 5000.0]
    assert rescaled(expected, fleet, {"m": new}) == expected


def test_gaps_of_even_arrivals_do_not_vary() -> None:
    even = Trace(np.arange(1000.0), np.zeros(1000, dtype=np.int32), ("a",))
    assert rhythms_of(even, span_s=1000.0)["a"].cv == 0.0
