"""The example with a language model and encoders: valid as it is, planned with its pages, simulated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.statmux.in_process import statmux
from tests.statmux.plan_files import Desk, desk

__all__ = ["desk"]

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "llm-and-encoders" / "deployment.yaml"
MODELS = {"chat", "embed", "encoder"}


@pytest.fixture
def planned(desk: Desk) -> Desk:
    """Half a minute of traffic as `trace gen` draws it, and a plan for it."""
    for words in (
        ("trace", "gen", EXAMPLE, "--duration", "30s", "--seed", "1", "--out", "trace.jsonl"),
        ("plan", EXAMPLE, "--trace", "trace.jsonl", "--out", "plan.yaml", "--time-budget", "0.5s"),
    ):
        result = desk.statmux(*words)
        assert result.code == 0, result.err
    return desk


def test_it_is_written_by_init_and_valid_without_a_warning(tmp_path: Path) -> None:
    assert statmux("init", "--example", "llm-and-encoders", folder=tmp_path).returncode == 0
    document = json.loads(statmux("validate", "deployment.yaml", "-o", "json", folder=tmp_path).stdout)
    assert document["name"] == "llm-and-encoders"
    assert (document["warnings"], document["no_effect"]) == ([], [])


def test_one_fleet_answers_in_tokens_and_in_one_go(planned: Desk) -> None:
    result = planned.statmux(
        "simulate", EXAMPLE, "--plan", "plan.yaml", "--trace", "trace.jsonl", "-o", "json"
    )
    assert result.code == 0, result.err
    document = result.document
    assert set(document["models"]) == MODELS
    assert all(one["slo_attainment"] > 0.9 for one in document["models"].values())
    assert set(document["generation"]) == {"chat"}
    assert document["models"]["chat"]["num_output_tokens"] > 0
    assert document["models"]["embed"]["ttft"]["p50_s"] is None


def test_no_device_holds_all_models_since_pages_take_memory_too(planned: Desk) -> None:
    together = (
        Path("plan.yaml").read_text().replace("models: [chat, embed]", "models: [chat, embed, encoder]")
    )
    assert "models: [chat, embed, encoder]" in together
    planned.write("together.yaml", together)
    words = ("--plan", "together.yaml", "--trace", "trace.jsonl")
    assert "key-value caches" in planned.statmux("simulate", EXAMPLE, *words).err
    smaller = planned.statmux("simulate", EXAMPLE, *words, "--set", "models.0.kv_cache.num_pages=64")
    assert smaller.code == 0, smaller.err


def test_the_plan_can_be_served(planned: Desk) -> None:
    result = planned.statmux("serve", EXAMPLE, "--plan", "plan.yaml", "--dry-run")
    assert result.code == 0, result.err
