"""How unevenly requests are spread over models."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Popularity beyond this exponent is one model.
MAX_EXPONENT = 10.0
NUM_HALVINGS = 40


def power_law_exponent(counts: NDArray[np.int64]) -> float | None:
    """The most likely a when the model of rank r has a share in proportion to r ** -a; None below two models.

    Ranks are by count. Models without requests count as models: they were there to be asked for.
    """
    ranked = np.sort(counts)[::-1]
    if len(ranked) < 2 or ranked[0] == 0:
        return None
    logs = np.log(np.arange(1, len(ranked) + 1))
    observed = float(ranked @ logs / ranked.sum())
    low, high = 0.0, MAX_EXPONENT
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        weights = np.exp(-middle * logs)
        # The expected log rank falls as the exponent grows.
        is_low = float(weights @ logs / weights.sum()) > observed
        low, high = (middle, high) if is_low else (low, middle)
    return (low + high) / 2


def share_of_top(counts: NDArray[np.int64], number: int) -> float | None:
    """Of all requests, those for the `number` models asked for most; None without requests."""
    total = int(counts.sum())
    return float(np.sort(counts)[::-1][:number].sum() / total) if total else None
