"""What a fleet of real processes says of its devices, its queues and its loads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from statmux.client import Client
from tests.live.crowd import in_flight
from tests.live.fleet_process import ServedFleet
from tests.live.test_verbs import scraped, total

pytestmark = pytest.mark.cluster
GIB = 2**30


def test_every_device_tells_its_memory_and_its_work(mixed: ServedFleet):
    """bert and gpt2 are shared by n-0:0 and n-0:1; n-1:0 has a stage of each of two models of 2 MB in two."""
    mixed.until(lambda: len(scraped(mixed)["statmux_device_memory_used_bytes"]) == 6)
    samples = scraped(mixed)

    def of(name: str, device: str) -> float:
        return total(samples, f"statmux_device_{name}", node=device[:3], device=device)

    assert total(samples, "statmux_device_memory_total_bytes") == 8 * GIB
    assert total(samples, "statmux_device_memory_total_bytes", group="") == 2 * GIB
    assert of("memory_used_bytes", "n-1:0") == of("memory_used_bytes", "n-1:1") == 2 * 1_000_000
    assert 0 < of("memory_used_bytes", "n-0:0") < GIB
    # Shared halves, but for what both have whole.
    assert of("memory_used_bytes", "n-0:1") == of("memory_used_bytes", "n-0:0")
    assert all(0 <= ratio <= 1 for ratio in samples["statmux_device_busy_ratio"].values())


def test_a_model_that_computes_was_loaded_once_on_each_of_its_groups(mixed: ServedFleet):
    samples = scraped(mixed)
    for model, group in (("bert", "g0"), ("gpt2", "g0"), ("bert", "g2"), ("chat", "g2")):
        assert total(samples, "statmux_model_load_duration_seconds_count", model=model, group=group) == 1
        weights_s = total(samples, "statmux_weights_load_seconds", model=model, group=group)
        assert (
            0
            < weights_s
            < total(samples, "statmux_model_load_duration_seconds_sum", model=model, group=group)
        )
    assert total(samples, "statmux_group_up") == 3


def test_what_waits_and_runs_is_told_by_model(mixed: ServedFleet, client: Client):
    with ThreadPoolExecutor() as pool, mixed.held("g1"):
        in_flight(mixed, client, pool, "fast", count=3)
    mixed.until(lambda: total(scraped(mixed), "statmux_queue_requests", model="fast", group="g1") == 0)
    samples = scraped(mixed)
    assert {dict(key)["model"] for key in samples["statmux_queue_requests"]} == {
        "bert", "gpt2", "chat", "fast", "slow"
    }  # fmt: skip
    assert samples["statmux_queue_requests"].keys() == samples["statmux_running_requests"].keys()
