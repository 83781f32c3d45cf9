"""The fairness benchmark on the published trace: what its table stands for holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fairness import measured
from benchmarks.fairness_suites import ARENA, suites

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.skipif(not (DATA / ARENA).exists(), reason=f"{DATA / ARENA} is not there")
def test_the_arena_is_served_more_evenly_at_the_same_throughput() -> None:
    """A real log on an engine like the paper's; all that are behind together, as its tables count."""
    (arena,) = [suite for suite in suites(DATA) if suite.name == "arena"]
    fair, unfair = (measured(arena, policy) for policy in ("vtc", "fcfs"))
    assert fair.mean_sum_per_s <= 0.5 * unfair.mean_sum_per_s
    assert fair.max_sum_per_s <= 0.5 * unfair.max_sum_per_s
    assert fair.throughput_tokens_per_s >= 0.98 * unfair.throughput_tokens_per_s
