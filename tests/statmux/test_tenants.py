"""Tenants as users of the command line meet them: drawn into traces, told by simulations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.statmux.plan_files import Desk, desk
from vocabulary.errors import InvalidInput
from vocabulary.formats import disk

__all__ = ["desk"]

PROFILE = {
    "api_version": "v1alpha1", "kind": "ModelProfile", "model": "chat", "device_type": "cpu",
    "provenance": {"kind": "measured"},
    "entries": [{
        "tensor": 1, "pipeline": 1, "weight_bytes": [60], "activation_bytes": {"1": [0]},
        "stage_latency_s": {"1": [1.0]}, "kv_bytes_per_token": [1],
        "step_times": [{"constant_s": 0.01, "token_s": 0.0001, "kv_token_s": 0.0}],
    }],
}  # fmt: skip
DEPLOYMENT = """
api_version: v1alpha1
kind: Deployment
metadata: {name: fair}
cluster:
  nodes: [{name: n, count: 1, devices: {type: cpu, count: 1, memory: 100kB}}]
models:
  - {name: chat, profile: chat.json, kv_cache: {num_pages: 8, block_size: 16}, workload: {rate_rps: 3}}
serving: {policy: {queue: vtc, admission: none, fairness: {weights: {gold: 3}}}}
"""
PLAN = """
kind: PlacementPlan
groups:
  - {id: left, devices: ["n-0:0"], tensor: 1, pipeline: 1, models: [chat]}
"""


@pytest.fixture
def fair(desk: Desk) -> Desk:
    desk.write("chat.json", json.dumps(PROFILE))
    desk.write("fair.yaml", DEPLOYMENT)
    desk.write("fair-plan.yaml", PLAN)
    lines = [f"{second / 10},chat,40,20,{tenant}\n" for second in range(400) for tenant in ("gold", "plain")]
    desk.write("fair.csv", "timestamp_s,model,input_tokens,output_tokens,tenant\n" + "".join(lines))
    return desk


def simulate(fair: Desk, *words: str):
    return fair.statmux(
        "simulate", "fair.yaml", "--plan", "fair-plan.yaml", "--trace", "fair.csv", "--set",
        "serving.policy.max_queued_requests=2000", *words,
    )  # fmt: skip


def test_a_simulation_tells_service_by_tenant(fair: Desk) -> None:
    result = simulate(fair, "-o", "json")
    assert result.code == 0, result.err
    gold, plain = (result.document["tenants"][name] for name in ("gold", "plain"))
    assert (gold["weight"], plain["weight"]) == (3.0, 1.0)
    assert gold["num_requests"] == 400 and gold["asked"] == gold["service"] == 400 * (40 + 2 * 20)
    assert gold["ttft_p50_s"] < plain["ttft_p50_s"]
    assert result.document["service_difference"]["window_s"] == 60.0
    text = simulate(fair).out
    assert "tenant  weight" in text and "furthest behind in 60 s" in text


def test_first_come_first_served_leaves_tenants_further_apart(fair: Desk) -> None:
    of_queue = {
        queue: simulate(fair, "--set", f"serving.policy.queue={queue}", "-o", "json").document
        for queue in ("vtc", "fcfs")
    }
    behind = {queue: one["service_difference"]["mean_per_s"] for queue, one in of_queue.items()}
    assert behind["vtc"] < 0.5 * behind["fcfs"]


def test_drawn_requests_have_tenants_by_weight_and_the_same_arrivals(fair: Desk) -> None:
    flags = ("trace", "gen", "--models", "chat", "--rate", "20", "--duration", "100s", "--seed", "3")
    assert fair.statmux(*flags, "--out", "plain.csv").code == 0
    assert fair.statmux(*flags, "--tenants", "gold:3,plain:1", "--out", "drawn.csv").code == 0
    without, drawn = disk.load_trace(Path("plain.csv")), disk.load_trace(Path("drawn.csv"))
    assert without.tenants is None and drawn.tenants is not None
    assert drawn.arrival_s.tobytes() == without.arrival_s.tobytes()
    share = (drawn.tenants.index == drawn.tenants.names.index("gold")).mean()
    assert share == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("text", ["a:x", "a,a", "a:0", ",", "a:-1"])
def test_wrong_tenants_are_refused_with_a_remedy(fair: Desk, text: str) -> None:
    result = fair.statmux("trace", "gen", "--models", "m", "--rate", "5", "--tenants", text, "--out", "t.csv")
    assert result.code == InvalidInput.exit_code
    assert "--tenants a:3,b:1" in result.err
