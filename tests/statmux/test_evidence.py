"""Evidence of outcomes: what is drawn over time adds up to what was done."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.simulate import simulate
from statmux.reporting.evidence import evidence
from tests.statmux.plan_files import DEPLOYMENT, PROFILE
from vocabulary.deployment import Deployment
from vocabulary.formats.disk import load_deployment
from vocabulary.outcomes import Outcomes
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.trace import Tokens, Trace

PIPELINE = Placement((Group("g", ("n-0:0", "n-0:1"), ParallelConfig(1, 2), ("a",)),))


@pytest.fixture
def small(tmp_path: Path) -> Deployment:
    (tmp_path / "any.json").write_text(json.dumps(PROFILE))
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT)
    return load_deployment(tmp_path / "deployment.yaml")


def run(small: Deployment, times: list[float], models: list[int]) -> Outcomes:
    trace = Trace(np.array(times, dtype=float), np.array(models, dtype=np.int32), ("a", "b"))
    return simulate(PIPELINE, trace, deployment=small)


def test_reasons_are_counted_by_model_and_the_rest_is_plain(small: Deployment):
    found = evidence(run(small, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], [0] * 6 + [1]), PIPELINE, small)
    assert found["reasons"] == {"slo_infeasible": {"a": 2}, "not_placed": {"b": 1}}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["provenance"]["profiles"]["a"] == {
        "kind": "estimated", "note": "by hand", "device_type": "cpu",
    }  # fmt: skip


def test_a_curve_ends_at_the_share_that_was_served(small: Deployment):
    found = evidence(run(small, [0.0] * 6, [0] * 6), PIPELINE, small)["cdf"]["a"]
    assert found["slo_s"] == 0.5
    assert (found["num_requests"], found["num_served"]) == (6, 4)
    assert found["latency_s"] == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert found["share"] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6], abs=1e-6)


def test_memory_is_of_each_stage_and_devices_have_what_they_may_hold(small: Deployment):
    found = evidence(run(small, [0.0], [0]), PIPELINE, small)["placement"]
    assert found["groups"][0]["memory_bytes"] == [30, 30]
    assert found["usable_bytes"] == {"n-0:0": 100, "n-0:1": 100}


def test_work_over_time_adds_up_and_lies_where_it_was_done(small: Deployment):
    found = evidence(run(small, [0.0, 0.0, 10.0], [0, 0, 0]), PIPELINE, small, num_windows=102)["timeline"]
    first, second = found["groups"][0]["stages"]
    assert found["window_s"] == pytest.approx(0.1)
    for stage in (first, second):
        assert sum(stage) * found["window_s"] == pytest.approx(3 * 0.1)
    assert first[:3] == pytest.approx([1.0, 1.0, 0.0]) and second[:4] == pytest.approx([0.0, 1.0, 1.0, 0.0])
    assert found["in_system"][:4] == pytest.approx([2.0, 2.0, 1.0, 0.0])
    assert found["waiting"][:2] == pytest.approx([1.0, 0.0])
    assert sum(found["arrivals_rps"]) * found["window_s"] == pytest.approx(3)


def test_an_empty_trace_has_evidence_too(small: Deployment):
    found = evidence(run(small, [], []), PIPELINE, small)
    assert found["reasons"] == {} and found["cdf"]["a"]["num_requests"] == 0
    assert sum(found["timeline"]["arrivals_rps"]) == 0


def test_a_model_that_generates_has_curves_of_its_tokens_and_no_stages(tmp_path: Path):
    example = Path(__file__).parents[2] / "deploy" / "examples" / "generate" / "deployment.yaml"
    deployment = load_deployment(example)
    assert deployment.model_names == ("chat", "search")
    devices = [device.id for device in deployment.cluster.devices]
    groups = [
        Group(name, (device,), ParallelConfig(1, 1), (name,))
        for name, device in zip(("chat", "search"), devices, strict=False)
    ]
    placement = Placement(tuple(groups))
    tokens = Tokens(np.full(4, 1000, np.int32), np.array([20, 1, 20, 0], np.int32))
    trace = Trace(np.arange(4.0), np.array([0, 0, 0, 1], np.int32), ("chat", "search"), tokens)
    found = evidence(simulate(placement, trace, deployment=deployment), placement, deployment)
    chat, search = found["cdf"]["chat"], found["cdf"]["search"]
    assert len(chat["ttft"]["latency_s"]) == 3 and chat["ttft"]["share"][-1] == 1.0
    # An answer of one token has no time per further token.
    assert len(chat["tpot"]["latency_s"]) == 2
    assert "ttft" not in search
    assert [group["id"] for group in found["timeline"]["groups"]] == ["search"]
    assert "generate" in found["timeline"]["note"] and found["timeline"]["waiting"] is None
    assert [group["utilisation"] is None for group in found["placement"]["groups"]] == [True, False]
