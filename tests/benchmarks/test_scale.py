"""The measures of benchmarks/scale.py and benchmarks/fronts.py, at sizes that take no time."""

from __future__ import annotations

import pytest

from benchmarks.fronts import equal_fleet, measure, table
from benchmarks.scale_measures import dispatcher, heartbeat, power_law, reconciled


def test_a_dispatcher_of_a_small_fleet_is_measured() -> None:
    found = dispatcher(2, 10, ("power_of_two",))
    assert (found.num_groups, found.num_replicas) == (2, 20)
    assert 0 < found.bytes_per_replica < 10_000
    assert found.decisions_per_s["power_of_two"] > 0


def test_a_heartbeat_has_a_size() -> None:
    assert 20 < heartbeat().frame_bytes < 2_000


def test_a_small_fleet_is_reconciled_and_loses_a_model_from_all_groups() -> None:
    found = reconciled(2, 20)
    # Of each group: the replica closed, then unloaded; and the word that all is done.
    assert found.num_steps == 5


def test_a_power_law_is_found_again() -> None:
    factor, exponent = power_law([1.0, 2.0, 4.0], [3.0, 12.0, 48.0])
    assert (factor, exponent) == (pytest.approx(3.0), pytest.approx(2.0))


def test_the_table_of_front_ends_has_a_line_for_each_router_and_number() -> None:
    fleet = equal_fleet()
    rows = measure(fleet, [fleet.trace(seed=0, duration_s=0.5)])
    assert len(table(rows).splitlines()) == 1 + 3 * 4
    assert all(row.lost_points == 0 for row in rows if row.num_fronts == 1)
