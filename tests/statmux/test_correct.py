"""`statmux profile --correct-from RUN`: a profile learns from what was served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.simulate import simulate
from statmux.recording import TIMINGS_FILE
from tests.statmux.plan_files import DEPLOYMENT, PROFILE, Desk, desk
from tests.statmux.run_records import record
from vocabulary.catalog import LatencyModel
from vocabulary.deployment import Deployment
from vocabulary.formats.disk import load_deployment, load_plan, load_profile
from vocabulary.trace import Trace

__all__ = ["desk"]

# Both models on one group of two stages: most requests wait for others, some do not.
PLAN = """
kind: PlacementPlan
groups:
  - {id: both, devices: ["n-0:0", "n-0:1"], tensor: 1, pipeline: 2, models: [a, b]}
"""
FACTORS = {"a": 1.1, "b": 1.25}
OVERHEAD_S = 0.004


def slower(deployment: Deployment) -> Deployment:
    """What the fleet really is: stages slower by FACTORS, and an overhead."""
    models = []
    for model in deployment.models:
        assert model.profile is not None
        entries = {
            config: replace(
                entry,
                stage_latency_s={
                    size: tuple(s * FACTORS[model.name] for s in stages)
                    for size, stages in entry.stage_latency_s.items()
                },
            )
            for config, entry in model.profile.entries.items()
        }
        models.append(replace(model, profile=replace(model.profile, entries=entries)))
    return replace(deployment, models=tuple(models), latency=LatencyModel(fixed_overhead_s=OVERHEAD_S))


def drawn_trace(seed: int) -> Trace:
    random = np.random.default_rng(seed)
    arrival_s = np.cumsum(random.gamma(0.25, 4 * 0.2, size=1500))
    return Trace(arrival_s, random.integers(0, 2, size=1500).astype(np.int32), ("a", "b"))


def record_of(folder: str, *, seed: int) -> None:
    """Times of each request as a worker would tell them, a tenth of a percent of noise included."""
    believed = load_deployment("deployment.yaml")
    plan, trace, real = load_plan("plan.yaml", deployment=believed), drawn_trace(seed), slower(believed)
    served = simulate(plan.placement, trace, deployment=real)
    start_s = np.zeros(len(trace))
    stages_s = [sum(real.catalog().costs(name, plan.placement.groups[0].config).single) for name in "ab"]
    free_s = -1.0  # of the first stage, first come first served
    for row in np.flatnonzero(served.served):
        start_s[row] = max(trace.arrival_s[row], free_s)
        free_s = start_s[row] + stages_s[trace.model_index[row]] / 2
    noise = np.random.default_rng(seed).normal(1.0, 0.001, size=len(trace))
    execute_s = (served.finish_s - OVERHEAD_S - start_s) * noise
    record(Path(folder), believed=believed, plan=plan, trace=trace, real=real, execute_s=execute_s)


@pytest.fixture
def slow(desk: Desk) -> Desk:
    desk.write("plan.yaml", PLAN)
    desk.write("deployment.yaml", DEPLOYMENT.replace("b, profile: any", "b, profile: other"))
    desk.write("other.json", json.dumps(PROFILE))
    record_of("run", seed=1)
    record_of("later", seed=2)
    return desk


def compared(desk: Desk, *words: str) -> dict:
    result = desk.statmux("simulate", "deployment.yaml", "--compare-to", "later", "-o", "json", *words)
    assert result.code == 0, result.err
    return result.document


def test_the_factor_of_every_model_is_recovered_within_a_percent_and_errors_fall(slow: Desk) -> None:
    before = compared(slow)
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run", "-o", "json")
    assert result.code == 0, result.err
    for name, factor in FACTORS.items():
        (correction,) = result.document["profiles"][name]["corrections"]
        assert correction["factor"] == pytest.approx(factor, rel=0.01)
        assert correction["num_samples"] > 50
    overhead_s = result.document["fixed_overhead_s"]
    assert overhead_s == pytest.approx(OVERHEAD_S, abs=0.001)
    after = compared(slow, "--set", f"simulation.fixed_overhead_s={overhead_s}")
    assert before["mean_absolute_error_points"] > 2
    assert after["mean_absolute_error_points"] < 0.3 * before["mean_absolute_error_points"]
    assert after["mean_absolute_p99_error_s"] < 0.3 * before["mean_absolute_p99_error_s"]
    assert after["equal_decisions"] > 0.98


def test_correcting_twice_from_one_run_changes_nothing_more(slow: Desk) -> None:
    slow.statmux("profile", "deployment.yaml", "--correct-from", "run")
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run", "-o", "json")
    for profile in result.document["profiles"].values():
        assert profile["corrections"][0]["factor"] == pytest.approx(1.0, abs=1e-9)


def test_only_the_named_models_are_written_and_the_note_says_from_what(slow: Desk) -> None:
    before = load_profile("other.json")
    result = slow.statmux("profile", "deployment.yaml", "a", "--correct-from", "run", "--out", "made")
    assert (
        result.code == 0
        and "wrote made/a.json" in result.out
        and "--set simulation.fixed_overhead_s=0.00" in result.out
    )
    assert not Path("made/b.json").exists() and load_profile("other.json") == before
    note = load_profile("made/a.json").provenance.note
    assert note.startswith("by hand; stages corrected by 1.1") and note.endswith("batches of small (run)")


def test_models_that_share_a_file_need_a_folder(slow: Desk) -> None:
    slow.write("deployment.yaml", DEPLOYMENT)
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run")
    assert result.code == 2 and "share the profile any.json" in result.err and "--out" in result.err


def test_a_run_without_timings_or_lone_requests_teaches_nothing(slow: Desk) -> None:
    path = Path("run") / TIMINGS_FILE
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *[",,"] * (len(lines) - 1), ""]))
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run")
    assert result.code == 2 and "nothing to learn from" in result.err
    path.write_text("\n".join([*lines[:3], ""]))
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run")
    assert result.code == 2 and "2 timings for 1500 requests" in result.err
    path.unlink()
    result = slow.statmux("profile", "deployment.yaml", "--correct-from", "run")
    assert result.code == 2 and f"no {TIMINGS_FILE}" in result.err


def test_an_unknown_model_is_named(slow: Desk) -> None:
    result = slow.statmux("profile", "deployment.yaml", "c", "--correct-from", "run")
    assert result.code == 2 and "no model 'c'" in result.err
