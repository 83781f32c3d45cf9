"""The interval of the live comparison's median."""

from __future__ import annotations

from benchmarks.fairness_live import median_interval


def test_the_interval_of_a_median_is_by_order_statistics() -> None:
    """Of nine, the second to the eighth hold the median in 96.1 % of all draws (a table of the binomial)."""
    assert median_interval([float(number) for number in range(9)]) == (1.0, 7.0)
    assert median_interval([float(number) for number in range(25)]) == (7.0, 17.0)


def test_few_values_give_their_range() -> None:
    assert median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)
