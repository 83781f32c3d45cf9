"""Admission: worth taking or not, to the nanosecond."""

from __future__ import annotations

from scheduling.admission import admit_all, meet_slo
from vocabulary.request import Request
from vocabulary.units import TIME_TOLERANCE_S

REQUEST = Request(0, "a", arrival_s=10.0, slo_s=1.0)


def test_a_request_that_ends_exactly_when_it_is_due_is_taken() -> None:
    assert meet_slo(REQUEST, 11.0, 0.0)


def test_a_sum_that_rounds_up_is_forgiven_and_a_microsecond_is_not() -> None:
    three = Request(0, "a", arrival_s=0.0, slo_s=0.3)
    assert meet_slo(three, 0.1 + 0.1 + 0.1, 0.0)
    assert meet_slo(three, 0.3 + TIME_TOLERANCE_S / 2, 0.0)
    assert not meet_slo(three, 0.3 + 1e-6, 0.0)


def test_slack_asks_for_an_earlier_end() -> None:
    assert meet_slo(REQUEST, 10.9, 0.1)
    assert not meet_slo(REQUEST, 10.95, 0.1)


def test_negative_slack_takes_what_will_be_late() -> None:
    assert meet_slo(REQUEST, 11.5, -0.5)


def test_the_clients_deadline_counts_as_the_objective_does() -> None:
    assert not meet_slo(Request(0, "a", 10.0, slo_s=9.0, deadline_s=10.5), 11.0, 0.0)


def test_a_request_without_objective_is_always_taken() -> None:
    assert meet_slo(Request(0, "a", 10.0), 1e9, 0.0)


def test_admitting_all_looks_at_nothing() -> None:
    assert admit_all(REQUEST, 1e9, 5.0)
