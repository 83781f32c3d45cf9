"""The event simulator against the published artifact's simulator, request for request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.simulate import simulate
from tests.simulator.published import OUTCOMES, load, needs_published


@needs_published
@pytest.mark.parametrize("path", OUTCOMES, ids=lambda path: f"{path.parent.name}-{path.name.split('.')[1]}")
def test_every_request_ends_as_in_the_published_outcomes(path: Path) -> None:
    published = load(path)
    outcomes = simulate(published.placement, published.trace, deployment=published.deployment)
    equal = outcomes.good == published.good
    # All are equal where this was written; the published promise is one in two thousand.
    assert equal.mean() >= 0.9995, f"{np.count_nonzero(~equal)} of {len(equal)} decisions differ"
    both = outcomes.good & published.good
    apart_s = np.abs(outcomes.finish_s - published.finish_s)[both]
    assert apart_s.max() <= 1e-6


@needs_published
def test_every_workload_is_here_with_every_plan_that_has_outcomes() -> None:
    """Nine in the published data: a file that a glob misses would not be missed by the test above."""
    algorithms = {"sr-greedy", "mp-search"}
    found = {(path.parent.name.split("-")[0], path.name.split(".")[1]) for path in OUTCOMES}
    assert found == {
        *((workload, algorithm) for workload in ("w1", "w2", "w3", "w5") for algorithm in algorithms),
        ("w5", "mp-search-sep"),
    }
    assert all((path.parent / f"plan.{path.name.split('.')[1]}.yaml").exists() for path in OUTCOMES)
