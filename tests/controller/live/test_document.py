"""The live document: its numbers are those of the metrics, and it says what was decided and why."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.front.words import Totals
from controller.journal import Journal, RequestLine
from controller.journal.read import JournalFile
from controller.live.counts import counts_of
from controller.live.decisions import decisions_of
from controller.live.document import SCHEMA_VERSION, Now, document_of
from controller.metrics import FleetMetrics, Judged
from tests.controller.live.story import GB, PLANNED, START_UNIX_S, Story

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scraped(metrics: FleetMetrics) -> Samples:
    """What Prometheus reads: by name and labels."""
    found: Samples = defaultdict(dict)
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            found[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    return found


def summed(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for key, value in samples[name].items() if labels.items() <= dict(key).items())


@pytest.fixture(scope="module")
def document(told: Story) -> dict[str, Any]:
    return json.loads(json.dumps(told.document()))


@pytest.fixture(scope="module")
def samples(told: Story) -> Samples:
    return scraped(told.metrics)


def test_counters_are_those_that_prometheus_reads(document: dict[str, Any], samples: Samples) -> None:
    assert document["schema_version"] == SCHEMA_VERSION
    assert set(document["models"]) == set(PLANNED)
    for name, model in document["models"].items():
        counts = model["counts"]
        assert counts["answered"] == summed(samples, "statmux_requests_total", model=name) > 0
        assert counts["served"] == summed(samples, "statmux_requests_total", model=name, code="OK")
        for reason, num in counts["rejected"].items():
            assert num == summed(samples, "statmux_requests_rejected_total", model=name, reason=reason)
        for objective, two in counts["objectives"].items():
            names = ("statmux_slo_met_total", "statmux_slo_missed_total")
            assert two == [summed(samples, one, model=name, objective=objective) for one in names]
        if not model["generates"]:  # it has one objective, so that the request keeps all when it keeps that
            assert [counts["met"], counts["missed"]] == counts["objectives"]["latency"]
        assert model["predicted_attainment"] == PLANNED[name]
        for gauge, key in (("statmux_queue_requests", "waiting"), ("statmux_running_requests", "running")):
            assert model[key] == summed(samples, gauge, model=name)


def test_buckets_are_those_that_prometheus_reads_over_all_groups(
    document: dict[str, Any], samples: Samples
) -> None:
    families = {
        "latency_s": "statmux_request_duration_seconds",
        "ttft_s": "statmux_time_to_first_token_seconds",
        "tpot_s": "statmux_inter_token_latency_seconds",
        "prediction_ratio": "statmux_prediction_error_ratio",
    }
    assert set(document["bounds"]) == set(families)
    for name, model in document["models"].items():
        generating = {"ttft_s", "tpot_s"} if model["generates"] else set()
        assert {"latency_s", "prediction_ratio"} | generating <= set(model["histograms"])
        for kind, found in model["histograms"].items():
            bounds = [*map(str, document["bounds"][kind]), "+Inf"]
            expected = [summed(samples, f"{families[kind]}_bucket", model=name, le=bound) for bound in bounds]
            assert found["buckets"] == expected
            assert found["sum"] == pytest.approx(summed(samples, f"{families[kind]}_sum", model=name))


def test_groups_that_serve_a_model_together_are_added_up(told: Story) -> None:
    counts = counts_of(told.metrics.registry)
    groups = {"g1", "g2"}
    alone = [
        told.metrics.registry.get_sample_value(
            "statmux_request_duration_seconds_count", {"model": "rank", "group": group}
        )
        for group in groups
    ]
    assert all(alone), "both have served it"
    assert counts.models["rank"].histograms["latency_s"].counts[-1] == sum(alone)


def test_the_map_has_every_device_with_what_it_holds(document: dict[str, Any]) -> None:
    assert [node["name"] for node in document["nodes"]] == ["gpu-0", "gpu-1", "gpu-2"]
    devices = {one["id"]: one for node in document["nodes"] for one in node["devices"]}
    assert len(devices) == 12
    assert (devices["gpu-0:3"]["group"], devices["gpu-0:3"]["stage"]) == ("g0", 1)
    assert (devices["gpu-2:3"]["group"], devices["gpu-2:3"]["planned_bytes"]) == (None, 0)
    # speech, alone on one device; of 18 GB a tenth is in reserve.
    assert devices["gpu-2:0"]["planned_bytes"] == 9 * GB
    assert devices["gpu-2:0"]["usable_bytes"] == int(18 * GB * 0.9)
    # Half of detect and of summary each: the group shares every layer between two.
    assert devices["gpu-2:1"]["planned_bytes"] == (5 * GB + 12 * GB) / 2
    # A language model's pages count, too.
    assert devices["gpu-0:0"]["planned_bytes"] > 16 * GB / 4


def test_a_lost_group_is_a_problem_and_a_decision_with_its_reason(document: dict[str, Any]) -> None:
    assert document["state"] == "degraded"
    assert document["problems"] == ["group g4 is lost: its worker ended with code -9"]
    newest = document["decisions"]["events"][0]
    assert (newest["kind"], newest["group"]) == ("group_lost", "g4")
    assert newest["sentence"] == "group g4 was lost: its worker ended with code -9"
    assert newest["unix_s"] == pytest.approx(START_UNIX_S + 20.0)
    kinds = {one["kind"] for one in document["decisions"]["events"]}
    assert {"started", "plan", "converged", "open"} <= kinds


def test_refused_requests_come_by_reason_with_what_it_means(story: Story) -> None:
    story.advance(2.0)
    story.lose("g3", why="gone")
    story.advance(4.0)
    story.journal.close()
    refused = {(one["model"], one["reason"]): one for one in story.document()["decisions"]["refused"]}
    one = refused["speech", "unavailable"]
    unserved = story.metrics.statistics("speech").num_failed
    assert sum(each["num"] for (model, _), each in refused.items() if model == "speech") == unserved
    assert one["num"] > 10
    assert "no group that holds model 'speech' is open" in one["words"]
    assert "none was open" in one["meaning"]


def write_lines(path: Path, *lines: RequestLine) -> JournalFile:
    journal = Journal(path / "journal.db")
    journal.open()
    for line in lines:
        journal.request(line)
    journal.close()
    return JournalFile(path / "journal.db")


def test_what_a_client_was_told_of_its_own_mistake_is_not_repeated(tmp_path: Path) -> None:
    journal = write_lines(
        tmp_path,
        RequestLine("a", "m", 1.0, 0.1, "invalid_tensor", "my secret is 'hunter2'"),
        RequestLine("b", "m", 2.0, 0.1, "queue_full", "64 requests wait"),
        RequestLine("c", "m", 3.0, 0.1, num_tries=2),
        RequestLine("d", "m", 4.0, 0.1),
    )
    told = decisions_of(journal, since_unix_s=0.0)
    assert [(one["reason"], one["words"]) for one in told["refused"]] == [
        ("queue_full", "64 requests wait"),
        ("invalid_tensor", ""),
    ]
    assert told["retried"] == [{"model": "m", "num": 1, "last_unix_s": 3.0}]
    assert "hunter2" not in json.dumps(told)


def test_what_an_earlier_fleet_refused_is_not_of_this_one(tmp_path: Path) -> None:
    """A journal goes on where the fleet of the same name before left it."""
    journal = write_lines(
        tmp_path,
        RequestLine("a", "m", 1.0, 0.1, "queue_full", "64 requests wait"),
        RequestLine("b", "m", 2.0, 0.1, num_tries=2),
        RequestLine("c", "m", 9.0, 0.1, "queue_full", "65 requests wait"),
    )
    told = decisions_of(journal, since_unix_s=5.0)
    assert [(one["num"], one["words"]) for one in told["refused"]] == [(1, "65 requests wait")]
    assert told["retried"] == []


def test_an_outage_is_counted_whole_and_the_last_one_speaks_for_it(tmp_path: Path) -> None:
    lines = [RequestLine(str(i), "m", 1.0 + i, 0.1, "unavailable", f"no group, {i}") for i in range(2500)]
    told = decisions_of(write_lines(tmp_path, *lines), since_unix_s=0.0)
    (one,) = told["refused"]
    assert (one["num"], one["last_unix_s"], one["words"]) == (2500, 2500.0, "no group, 2499")


def test_without_a_journal_it_says_so_and_goes_on(tmp_path: Path) -> None:
    told = decisions_of(JournalFile(tmp_path / "nothing.db"), since_unix_s=0.0)
    assert (told["events"], told["refused"]) == ([], [])
    assert "there is no journal at" in told["problem"]


def test_further_front_ends_are_added_and_it_says_what_it_covers(told: Story) -> None:
    status = {**told.document(), "front_ends": [{"index": 1}]}
    names = told.deployment.model_names
    status["models"] = {
        name: {"state": "READY", "reason": "", "engine": "emulated", "generates": False, "predicted_loss": 0}
        for name in names
    }
    here, there = told.metrics.judged("rank"), Totals(100, 7, 3.5, Judged(90, 10))
    judged = {name: told.metrics.judged(name) for name in names}
    now = Now(1.0, 0.0, "0", judged, {"rank": there})
    counts = counts_of(told.metrics.registry)
    document = document_of(status, told.deployment, counts, now=now, nodes=[], decisions={})
    assert document["covers"]["num_front_ends"] == 2
    found = document["models"]["rank"]["counts"]
    assert found["answered"] == counts.models["rank"].answered + 107
    assert found["served"] == counts.models["rank"].served + 100
    assert (found["met"], found["missed"]) == (here.num_met + 90, here.num_missed + 10)
