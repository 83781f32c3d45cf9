"""A budget is over when so much has been searched, whatever was compiled meanwhile."""

from __future__ import annotations

from numba.core import event

from placement.budget import Budget
from simulator.compiling import compiling_s


def test_a_budget_is_over_after_its_seconds_and_when_it_is_stopped() -> None:
    now_s = [10.0]
    budget = Budget(2.0, clock=lambda: now_s[0], compiling_s=lambda: 0.0)
    assert not budget.is_over
    now_s[0] = 12.0
    assert budget.is_over
    endless = Budget(clock=lambda: now_s[0])
    now_s[0] = 1e9
    assert not endless.is_over
    endless.stop()
    assert endless.is_over


def test_compiling_is_not_paid_from_a_budget() -> None:
    now_s, compiled_s = [0.0], [100.0]
    budget = Budget(2.0, clock=lambda: now_s[0], compiling_s=lambda: compiled_s[0])
    now_s[0], compiled_s[0] = 13.0, 112.0
    assert not budget.is_over
    assert (budget.elapsed_s, budget.spent_s) == (13.0, 1.0)
    now_s[0] = 14.0
    assert budget.is_over


def test_what_numba_compiles_is_counted_once_however_deep() -> None:
    before_s = compiling_s()
    with event.trigger_event("numba:compile"):
        first_s = compiling_s()
        with event.trigger_event("numba:compile"):
            assert compiling_s() >= first_s
        assert compiling_s() >= first_s > before_s
    after_s = compiling_s()
    assert after_s > before_s
    assert compiling_s() == after_s
