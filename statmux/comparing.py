"""Simulated beside measured: the errors of a simulation, by model and over all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statmux.summary import summary
from vocabulary.outcomes import Outcomes, kept_rows

# Where the two distributions of latency are compared in the scatter plot.
QUANTILES = np.arange(1, 100) / 100


def comparison(measured: Outcomes, simulated: Outcomes, *, trim_s: float = 0.0) -> dict[str, Any]:
    """Both summaries and their differences (simulated less measured), of the same requests.

    Differences of attainment are in points, of latencies in seconds. The mean absolute error is over the
    models that were asked for.
    """
    assert len(measured.trace) == len(simulated.trace), (len(measured.trace), len(simulated.trace))
    seen, said = summary(measured, trim_s=trim_s), summary(simulated, trim_s=trim_s)
    models = {name: _pair(seen["models"][name], said["models"][name]) for name in said["models"]}
    asked = [pair for pair in models.values() if pair["num_requests"]]
    errors = [abs(pair["slo_attainment"]["difference_points"]) for pair in asked]
    rows = kept_rows(measured.trace, trim_s)
    return {
        "slo_attainment": said["slo_attainment"],
        "slo_attainment_measured": seen["slo_attainment"],
        "difference_points": 100 * (said["slo_attainment"] - seen["slo_attainment"]),
        "mean_absolute_error_points": float(np.mean(errors)) if errors else 0.0,
        "max_absolute_error_points": max(errors, default=0.0),
        "mean_absolute_p50_error_s": _mean_error_s(models, "p50_s"),
        "mean_absolute_p99_error_s": _mean_error_s(models, "p99_s"),
        "equal_decisions": float(np.mean(measured.good[rows] == simulated.good[rows])) if errors else 1.0,
        "all": _pair(seen, said),
        "models": models,
        "measured": seen,
        "simulated": said,
    }


def latency_quantiles_s(outcomes: Outcomes, model_index: int) -> NDArray[np.float64]:
    """Of the model's served requests, at QUANTILES; empty where none was served."""
    mine = outcomes.served & (outcomes.trace.model_index == model_index)
    return np.quantile(outcomes.latency_s[mine], QUANTILES) if mine.any() else np.zeros(0)


def _pair(seen: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    difference = 100 * (said["slo_attainment"] - seen["slo_attainment"])
    return {
        "num_requests": seen["num_requests"],
        "slo_attainment": {
            "measured": seen["slo_attainment"],
            "simulated": said["slo_attainment"],
            "difference_points": difference,
        },
        **{key: _latencies(seen[key], said[key]) for key in ("p50_s", "p99_s")},
    }


def _latencies(seen_s: float | None, said_s: float | None) -> dict[str, float | None]:
    both = seen_s is not None and said_s is not None
    return {
        "measured": seen_s,
        "simulated": said_s,
        "difference": said_s - seen_s if both else None,
    }


def _mean_error_s(models: Mapping[str, Any], key: str) -> float | None:
    errors_s = [
        abs(pair[key]["difference"]) for pair in models.values() if pair[key]["difference"] is not None
    ]
    return float(np.mean(errors_s)) if errors_s else None
