"""The agenda: time first, then the order of adding."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.agenda import Agenda
from vocabulary.units import NEVER_S


def agenda(*entries: tuple[float, str]) -> Agenda[str]:
    filled: Agenda[str] = Agenda()
    for time_s, event in entries:
        filled.add(time_s, event)
    return filled


def test_the_earliest_time_is_next() -> None:
    assert agenda((2.0, "b"), (1.0, "a"), (3.0, "c")).next_s == 1.0


def test_events_of_an_instant_come_in_the_order_of_adding() -> None:
    filled = agenda((1.0, "z"), (2.0, "later"), (1.0, "a"), (1.0, "m"))
    assert list(filled.pop_instant(1.0)) == ["z", "a", "m"]
    assert len(filled) == 1


def test_an_instant_without_events_gives_none() -> None:
    filled = agenda((2.0, "a"))
    assert list(filled.pop_instant(1.0)) == []
    assert len(filled) == 1


def test_events_are_never_compared() -> None:
    filled: Agenda[object] = Agenda()
    filled.add(1.0, object())
    filled.add(1.0, object())
    assert len(list(filled.pop_instant(1.0))) == 2


def test_in_an_empty_agenda_nothing_is_ever_next() -> None:
    assert Agenda[str]().next_s == NEVER_S


@settings(deadline=None)
@given(st.lists(st.integers(0, 4).map(float)))
def test_an_agenda_is_a_stable_sort(times_s: list[float]) -> None:
    filled: Agenda[int] = Agenda()
    for order, time_s in enumerate(times_s):
        filled.add(time_s, order)
    heard = []
    while len(filled):
        heard += filled.pop_instant(filled.next_s)
    assert heard == sorted(range(len(times_s)), key=lambda order: times_s[order])
