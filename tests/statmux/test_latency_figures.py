"""Drawings of latencies of few models and of many."""

from __future__ import annotations

import numpy as np
import pytest

from statmux.latency_figures import latency_figure, quantile_figure
from statmux.reporting.figures import Series
from statmux.reporting.thinning import thinned
from vocabulary.deployment import Deployment, ModelSpec, Slo
from vocabulary.mesh import Cluster
from vocabulary.outcomes import FATE_CODE, Outcomes
from vocabulary.request import Fate
from vocabulary.trace import Trace

NUM_EACH = 40


def outcomes(num_models: int, *, slow: float = 0.0) -> Outcomes:
    """Model m serves all but m of its requests; the last model's take `slow` longer."""
    models = tuple(f"m{index}" for index in range(num_models))
    index = np.repeat(np.arange(num_models, dtype=np.int32), NUM_EACH)
    place = np.tile(np.arange(NUM_EACH), num_models)
    finish_s = 0.1 + place / 100 + slow * (index == num_models - 1)
    served = place >= index
    fate = np.where(served, FATE_CODE[Fate.SERVED], FATE_CODE[Fate.SLO_INFEASIBLE]).astype(np.int8)
    group = np.zeros(len(index), dtype=np.int32)
    return Outcomes(Trace(np.zeros(len(index)), index, models), group, finish_s, fate, served)


def fleet(num_models: int) -> Deployment:
    models = tuple(ModelSpec(f"m{index}", slo=Slo(1.0)) for index in range(num_models))
    return Deployment("fleet", Cluster(()), models)


@pytest.mark.parametrize("num_models", [1, 6])
def test_few_models_have_a_curve_each(num_models: int) -> None:
    figure = latency_figure(outcomes(num_models), fleet(num_models), title="t")
    assert [one.label for one in figure.series] == [f"m{index}" for index in range(num_models)]
    assert [one.y[-1] for one in figure.series] == [1 - index / NUM_EACH for index in range(num_models)]
    assert [mark.label for mark in figure.marks] == ["SLO"]


def test_of_many_models_those_that_serve_least_are_named_and_the_others_are_one_curve() -> None:
    figure = latency_figure(outcomes(12), fleet(12), title="t")
    assert [one.label for one in figure.series] == ["7 other models", "m7", "m8", "m9", "m10", "m11"]
    assert figure.series[0].y[-1] == pytest.approx(1 - sum(range(7)) / (7 * NUM_EACH))


def test_of_many_models_those_that_are_farthest_from_the_simulation_are_named() -> None:
    figure = quantile_figure(outcomes(12, slow=0.5), outcomes(12), title="t")
    labels = [one.label for one in figure.series]
    assert len(labels) == 7
    assert (labels[0], labels[-1]) == ("7 other models", "equal")
    assert "m11" in labels


def test_a_gap_in_a_long_curve_stays_a_gap() -> None:
    y = np.arange(5000.0)
    y[1234] = np.nan
    columns = thinned(Series("one", np.arange(5000.0), y))
    assert len(columns.x) < 2000
    assert columns.x[np.isnan(columns.y)].tolist() == [1234.0]
