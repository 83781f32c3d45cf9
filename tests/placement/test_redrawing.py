"""From what kind of traffic a trace is a sample."""

from dataclasses import replace

import numpy as np
import pytest

from placement.redrawing import declared_workloads, drawn_anew
from simulator.traffic.workload import generate
from tests.placement.fleets import deployment, model
from vocabulary.deployment import Workload

DECLARED = {"a": Workload(8.0, 4.0), "b": Workload(2.0, 1.0)}
FLEET = deployment(*(model(name, 50, workload=workload) for name, workload in DECLARED.items()))


def test_a_sample_of_the_declared_workloads_is_redrawn_from_them() -> None:
    trace = generate(DECLARED, duration_s=300.0, seed=5)
    assert declared_workloads(FLEET, trace) == DECLARED
    counts = np.mean([drawn_anew(FLEET, trace, keys=(0, key)).counts() for key in range(60)], axis=0)
    assert counts == pytest.approx([2400, 600], rel=0.12)


def test_traffic_that_is_not_what_was_declared_is_redrawn_from_itself() -> None:
    trace = generate({"a": Workload(8.0, 4.0), "b": Workload(6.0, 1.0)}, duration_s=300.0, seed=5)
    assert declared_workloads(FLEET, trace) is None
    counts = np.mean([drawn_anew(FLEET, trace, keys=(0, key)).counts() for key in range(60)], axis=0)
    assert counts == pytest.approx(trace.counts(), rel=0.12)


def test_a_model_without_a_declared_workload_leaves_only_the_trace() -> None:
    models = (FLEET.models[0], replace(FLEET.models[1], workload=None))
    trace = generate(DECLARED, duration_s=300.0, seed=5)
    assert declared_workloads(replace(FLEET, models=models), trace) is None


def test_the_same_keys_give_the_same_traffic_and_others_other() -> None:
    trace = generate(DECLARED, duration_s=300.0, seed=5)
    first, again, other = (drawn_anew(FLEET, trace, keys=(0, key)) for key in (1, 1, 2))
    assert np.array_equal(first.arrival_s, again.arrival_s)
    assert not np.array_equal(first.arrival_s, other.arrival_s)
