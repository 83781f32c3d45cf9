"""How far apart tenants were served, in windows."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.fairness import Fairness
from vocabulary.outcomes import FATE_CODE, Outcomes
from vocabulary.request import Fate
from vocabulary.tenant_service import service_by_tenant, service_difference
from vocabulary.trace import Tenants, Tokens, Trace


def outcomes(*rows: tuple[str, float, int, int, float, float | None]) -> Outcomes:
    """Rows of (tenant, arrival, input, output, first token, finish); a finish of None was refused."""
    tenants, arrivals, inputs, outputs, firsts, finishes = zip(*rows, strict=True)
    names = tuple(dict.fromkeys(tenants))
    trace = Trace(
        np.array(arrivals), np.zeros(len(rows), dtype=np.int32), ("chat",),
        Tokens(np.array(inputs, dtype=np.int32), np.array(outputs, dtype=np.int32)),
        Tenants(np.array([names.index(one) for one in tenants], dtype=np.int32), names),
    )  # fmt: skip
    fates = [Fate.SERVED if finish is not None else Fate.SLO_INFEASIBLE for finish in finishes]
    return Outcomes(
        trace,
        np.zeros(len(rows), dtype=np.int32),
        np.array([0.0 if finish is None else finish for finish in finishes]),
        np.array([FATE_CODE[fate] for fate in fates], dtype=np.int8),
        np.ones(len(rows), dtype=bool),
        np.where([finish is None for finish in finishes], np.nan, firsts),
    )


def test_service_is_what_was_computed_by_what_it_costs() -> None:
    found = outcomes(("a", 0.0, 10, 5, 1.0, 2.0), ("b", 0.0, 7, 3, 1.0, None), ("a", 1.0, 1, 1, 2.0, 2.0))
    by_tenant = service_by_tenant(found, Fairness())
    assert by_tenant["a"].service == by_tenant["a"].asked == 10 + 10 + 1 + 2
    assert (by_tenant["b"].service, by_tenant["b"].asked) == (0.0, 13.0)
    assert by_tenant["a"].ttft_p50_s == 1.0 and by_tenant["b"].ttft_p50_s is None


def test_a_tenant_is_behind_as_far_as_it_asked_for_more() -> None:
    """In the first 4 s, "a" has 40 tokens; "b" asked for 30 and has none; "c" asked for 4."""
    found = outcomes(
        ("a", 0.0, 0, 20, 0.0, 4.0), ("b", 0.0, 10, 10, 4.0, 8.0), ("c", 0.0, 4, 0, 6.0, 6.0)
    )  # fmt: skip
    difference = service_difference(found, Fairness(), window_s=4.0)
    assert difference.max_per_s == pytest.approx(30 / 4)
    assert difference.max_sum_per_s == pytest.approx(34 / 4)


def test_tenants_that_have_all_they_asked_for_are_not_behind() -> None:
    found = outcomes(("big", 0.0, 10, 100, 0.1, 4.0), ("small", 0.0, 10, 5, 0.1, 1.0))
    assert service_difference(found, Fairness(), window_s=4.0).max_per_s == pytest.approx(0.0)


def test_service_counts_by_weight() -> None:
    found = outcomes(("gold", 0.0, 0, 60, 0.0, 8.0), ("plain", 0.0, 0, 20, 0.0, 8.0))
    assert service_difference(found, Fairness(), window_s=4.0).max_per_s > 0
    even = service_difference(found, Fairness(weights={"gold": 3.0}), window_s=4.0)
    assert even.max_per_s == pytest.approx(0.0)
