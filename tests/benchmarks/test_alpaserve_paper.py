"""The parts of the reproduction of AlpaServe's evaluation that need no data."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.alpaserve_paper import CVS, RATE_SCALES, SIZES, SLO_SCALES, points_of, tables
from benchmarks.paper.figures import sweep_figure
from benchmarks.paper.policies import POLICIES, attainment_of, clockwork, windows
from benchmarks.paper.setting import KINDS, Setting, azure_2019, fleet, synthetic
from vocabulary.parallel import ParallelConfig
from vocabulary.profile import ProfileEntry, Provenance, profile_of
from vocabulary.trace import Trace

SETTING = Setting(num_devices=8, models_of_each=1, rate_rps=20.0, cv=4.0, slo_scale=5.0, duration_s=120.0)


def profiles():
    one = ProfileEntry(ParallelConfig(1, 1), (6 * 2**30,), {1: (0,)}, {1: (0.2,)})
    two = ProfileEntry(ParallelConfig(1, 2), (3 * 2**30,) * 2, {1: (0, 0)}, {1: (0.1, 0.1)})
    made = profile_of("bert", "v100-16g", [one, two], provenance=Provenance())
    return dict.fromkeys(KINDS, made)


def test_windows_are_all_requests_each_from_zero() -> None:
    trace = Trace(np.array([0.0, 59.9, 60.0, 185.0]), np.array([0, 1, 0, 1], dtype=np.int32), ("a", "b"))
    found = windows(trace)
    assert [one.arrival_s.tolist() for one in found] == [[0.0, 59.9], [0.0], [5.0]]
    assert [one.model_index.tolist() for one in found] == [[0, 1], [0], [1]]


def test_both_kinds_of_traffic_have_the_settings_rate() -> None:
    names = fleet(SETTING, profiles()).model_names
    counts = np.random.default_rng(0).integers(1, 50, (30, 5))
    for trace in (synthetic(SETTING, names, seed=1), azure_2019(counts, SETTING, names, seed=1)):
        assert len(trace) / SETTING.duration_s == pytest.approx(SETTING.rate_rps, rel=0.35)
        assert trace.models == names


def test_more_freedom_gives_more_attainment() -> None:
    deployment = fleet(SETTING, profiles())
    train, test = (synthetic(SETTING, deployment.model_names, seed=seed) for seed in (0, 1))
    replicated = attainment_of("sr-greedy", deployment, train, test)
    assert replicated <= clockwork(deployment, train, test) + 0.02
    assert replicated <= attainment_of("auto", deployment, train, test) + 0.02


def test_a_fleet_that_does_not_fit_attains_nothing() -> None:
    large = ProfileEntry(ParallelConfig(1, 1), (40 * 2**30,), {1: (0,)}, {1: (0.2,)})
    made = profile_of("bert", "v100-16g", [large], provenance=Provenance())
    deployment = fleet(SETTING, dict.fromkeys(KINDS, made))
    trace = synthetic(SETTING, deployment.model_names, seed=0)
    assert attainment_of("auto", deployment, trace, trace) == 0.0
    assert clockwork(deployment, trace, trace) == 0.0


def test_every_sweep_is_there_for_every_policy_and_traffic() -> None:
    points = list(points_of("small", CVS, POLICIES))
    sweeps = [len(SIZES["small"][-1]), len(RATE_SCALES), len(SLO_SCALES)]
    assert len(points) == len(POLICIES) * sum(sum(sweeps) + len(cvs) for cvs in CVS.values())
    assert len(set(points)) == len(points)


def test_tables_and_figures_have_a_column_and_a_line_for_each_policy() -> None:
    rows = [
        {"traffic": "azure-2019", "axis": "devices", "value": n, "policy": policy, "attainment": n / 100}
        for policy in ("ours", "theirs")
        for n in (8, 16)
    ]
    (table,) = tables(rows)
    assert table.splitlines()[0] == "| azure-2019: devices | ours | theirs |"
    assert table.splitlines()[-1] == "| 16 | 16.00% | 16.00% |"
    labels = [series.label for series in sweep_figure(rows).series]
    assert labels[:2] == ["ours", "theirs"]
    assert "published: AlpaServe" in labels
