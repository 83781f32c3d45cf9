import numpy as np
import pytest

from placement.ties import ascending, descending


def test_up_to_sixteen_equals_keep_their_order() -> None:
    assert ascending([2.0, 1.0] * 8) == [*range(1, 16, 2), *range(0, 16, 2)]
    assert descending([1.0, 1.0, 2.0]) == [2, 1, 0]


def test_more_equals_come_in_the_order_of_numpys_quicksort() -> None:
    # From numpy 2.4 with its vector instructions switched off (NPY_DISABLE_CPU_FEATURES).
    keys = [2, 2, 1, 1, 1, 1, 0, 2, 0, 1, 0, 2, 2, 2, 2, 2, 0]
    assert ascending(keys) == [8, 10, 6, 16, 4, 5, 2, 9, 3, 7, 15, 1, 11, 12, 13, 14, 0]


@pytest.mark.parametrize("num_values", [1, 3, 1000])
def test_keys_come_out_sorted_and_none_is_lost(num_values: int) -> None:
    rng = np.random.default_rng(num_values)
    for length in (0, 1, 17, 40, 300):
        keys = rng.integers(0, num_values, length).astype(float).tolist()
        order = ascending(keys)
        assert sorted(order) == list(range(length))
        assert [keys[index] for index in order] == sorted(keys)
