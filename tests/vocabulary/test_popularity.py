"""How unevenly requests are spread over models."""

from __future__ import annotations

import numpy as np
import pytest

from vocabulary.popularity import power_law_exponent, share_of_top


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_of_exact_shares_is_found(exponent):
    counts = np.rint(1e9 * np.arange(1, 51) ** -exponent).astype(np.int64)
    shuffled = counts[np.argsort(np.arange(50) * 7 % 50)]
    assert power_law_exponent(shuffled) == pytest.approx(exponent, abs=1e-6)


def test_one_model_or_no_request_has_no_exponent():
    assert power_law_exponent(np.array([7])) is None
    assert power_law_exponent(np.array([0, 0])) is None


def test_the_top_models_have_their_share():
    assert share_of_top(np.array([1, 6, 3]), 1) == 0.6
    assert share_of_top(np.array([1, 6, 3]), 5) == 1.0
    assert share_of_top(np.array([0]), 1) is None
