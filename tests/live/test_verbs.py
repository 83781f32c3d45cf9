"""Verbs against a living fleet: status, metrics, bench and report, and a second fleet in the same place."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.verbs.control import ROOT
from statmux.client import Client, ClientError
from tests.live.fleet_process import ServedFleet, run_verb

pytestmark = pytest.mark.cluster
X = np.arange(6, dtype=np.int32)
GOOD = {"INPUT0": X}
# Labels, sorted, and the value of each sample by its name.
Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def scraped(fleet: ServedFleet) -> Samples:
    """All samples of the metrics endpoint."""
    with urlopen(f"http://{fleet.ask('status')['endpoints']['metrics']}/metrics", timeout=60) as page:
        families = text_string_to_metric_families(page.read().decode())
        samples: Samples = {}
        for family in families:
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum over all samples of the name that have the labels."""
    wanted = set(labels.items())
    return sum(value for key, value in samples.get(name, {}).items() if wanted <= set(key))


def test_status_is_one_document_with_groups_and_models(mixed: ServedFleet):
    ran = mixed.run_verb("status", "-o", "json")
    assert (ran.returncode, ran.stderr) == (0, "")
    document = json.loads(ran.stdout)
    assert document["schema_version"] == 1
    assert (document["fleet"], document["state"], document["is_ready"]) == ("mixed", "ready", True)
    assert document["engines"] == ["emulated", "jax"]
    groups = {group["id"]: group for group in document["groups"]}
    assert (groups["g0"]["tensor"], groups["g0"]["pipeline"], groups["g0"]["is_open"]) == (2, 1, True)
    assert groups["g1"]["devices"] == ["n-1:0", "n-1:1"]
    assert {name: (one["engine"], one["state"]) for name, one in document["models"].items()} == {
        "bert": ("jax", "READY"),
        "gpt2": ("jax", "READY"),
        "chat": ("jax", "READY"),
        "fast": ("emulated", "READY"),
        "slow": ("emulated", "READY"),
        "homeless": ("emulated", "UNAVAILABLE"),
    }


def test_status_says_in_words_that_stages_are_emulated(mixed: ServedFleet):
    ran = mixed.run_verb("status", "--wait", "ready")
    assert ran.returncode == 0, ran.stderr
    assert "mixed is ready (emulated and jax)" in ran.stdout
    assert re.search(r"^slow +emulated +READY", ran.stdout, re.MULTILINE)


def test_the_control_socket_is_for_the_owner_only(mixed: ServedFleet):
    socket = mixed.folder / ROOT / "mixed" / "control.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


def test_metrics_count_what_was_sent(mixed: ServedFleet, client: Client):
    before = scraped(mixed)
    sent: Counter[tuple[str, str]] = Counter()

    def send(model: str, inputs: dict[str, np.ndarray], **settings: float) -> None:
        try:
            client.infer(model, inputs, **settings)
            sent[model, "OK"] += 1
        except ClientError as error:
            sent[model, error.reason] += 1

    for _ in range(3):
        send("fast", GOOD)
    send("fast", {"INPUT0": X[None]})
    send("gpt2", {"input_ids": np.full((1, 2), 10**6)})
    send("slow", GOOD)
    send("slow", GOOD, slo_ms=1)
    send("homeless", GOOD)
    after = scraped(mixed)

    def grown(name: str, **labels: str) -> float:
        return total(after, name, **labels) - total(before, name, **labels)

    assert sent == {
        ("fast", "OK"): 3, ("slow", "OK"): 1, ("slow", "SLO_INFEASIBLE"): 1, ("homeless", "NOT_PLACED"): 1,
        ("fast", "INVALID_TENSOR"): 1, ("gpt2", "INVALID_TENSOR"): 1,
    }  # fmt: skip
    for model in ("fast", "gpt2"):
        assert grown("statmux_requests_total", model=model, code="INVALID_ARGUMENT") == 1, model
        assert grown("statmux_requests_rejected_total", model=model, reason="invalid") == 1, model
    assert grown("statmux_requests_total", model="fast", code="OK", protocol="grpc_v2") == 3
    assert grown("statmux_requests_total", model="slow", code="RESOURCE_EXHAUSTED") == 1
    assert grown("statmux_requests_total", model="homeless", code="UNAVAILABLE") == 1
    assert grown("statmux_requests_rejected_total", model="slow", reason="slo_infeasible") == 1
    assert grown("statmux_requests_rejected_total", model="homeless", reason="not_placed") == 1
    assert grown("statmux_slo_met_total", model="slow") + grown("statmux_slo_missed_total", model="slow") == 2
    for histogram in ("request_duration", "queue_duration", "execute_duration"):
        assert grown(f"statmux_{histogram}_seconds_count", model="fast", group="g1") == 3, histogram
    # Two stages of 2 ms: what a stage sleeps is known exactly, and nothing is shorter.
    assert grown("statmux_execute_duration_seconds_sum", model="fast") >= 3 * 0.004 - 1e-6
    assert grown("statmux_batch_size_sum", model="fast") == 3
    assert grown("statmux_prediction_error_ratio_count", model="fast") == 3


def test_metrics_describe_the_fleet_with_the_names_that_are_promised(mixed: ServedFleet, client: Client):
    client.infer("slow", GOOD)
    samples = scraped(mixed)
    assert total(samples, "statmux_model_state", model="bert", group="g0", state="READY") == 1
    assert total(samples, "statmux_model_state", model="bert", group="g0") == 1, "one state at a time"
    assert {"statmux_queue_requests", "statmux_running_requests"} <= samples.keys()
    mixed.until(lambda: total(scraped(mixed), "statmux_group_stage_busy_seconds_total", group="g1") >= 0.6)
    assert list(samples["statmux_plan_info"].values()) == [1.0]
    (build,) = samples["statmux_build_info"]
    assert dict(build).keys() == {"version", "jax", "ray", "python"}
    ids = {"request_id", "id", "client"}
    assert not [key for keys in samples.values() for key in keys if ids & dict(key).keys()]


@pytest.fixture(scope="module")
def trace_file(mixed: ServedFleet) -> Path:
    models = ["fast", "bert", "gpt2", "slow", "homeless"]
    rows = [f"{0.05 * index:g},{models[index % len(models)]}\n" for index in range(40)]
    path = mixed.folder / "trace.csv"
    path.write_text("timestamp_s,model\n" + "".join(rows))
    return path


def test_bench_prints_one_document_and_its_record_becomes_a_page(
    mixed: ServedFleet, address: str, trace_file: Path
):
    ran = mixed.run_verb(
        *("bench", "deployment.yaml", "--plan", "plan.yaml", "--url", address, "--trace", trace_file.name),
        *("--record", "run", "-o", "json"),
    )
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    measured, simulated = document["measured"], document["simulated"]
    assert measured["num_requests"] == simulated["num_requests"] == 40
    assert document["emulated"] is True
    assert document["errors"] == {}
    for name in ("fast", "bert", "gpt2"):
        assert measured["models"][name]["num_served"] == 8, name
        assert measured["models"][name]["slo_attainment"] == 1.0, name
    for name in (measured, simulated):
        assert name["models"]["homeless"]["slo_attainment"] == 0.0
        assert name["rejections"]["not_placed"] == 8
    assert document["slo_attainment"] == measured["slo_attainment"]
    check_record(mixed.folder / "run")
    check_comparison(mixed)
    check_corrections(mixed)
    check_page(mixed)


def check_record(record: Path) -> None:
    run = json.loads((record / "run.json").read_text())
    assert (run["kind"], run["fleet"]) == ("RunRecord", "mixed")
    assert any("emulated" in line for line in run["assumptions"])
    for name in ("measured.csv", "simulated.csv"):
        head, *rows = (record / name).read_text().splitlines()
        assert head == "request_id,model,arrival_s,group,good,finish_s,reason"
        assert [int(row.split(",")[0]) for row in rows] == list(range(40))


def check_comparison(mixed: ServedFleet) -> None:
    """The record is enough: no deployment, plan or trace is named."""
    ran = mixed.run_verb("simulate", "--compare-to", "run", "--plot", "scatter.svg", "-o", "json")
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["emulated"] is True and document["all"]["num_requests"] == 40
    assert document["models"]["fast"]["slo_attainment"]["difference_points"] == 0.0
    assert document["models"]["fast"]["p50_s"]["measured"] > 0
    assert document["models"]["homeless"]["p50_s"]["measured"] is None
    assert "<svg" in (mixed.folder / "scatter.svg").read_text()


def check_corrections(mixed: ServedFleet) -> None:
    """Emulated stages end when their profile says, whatever this machine is busy with."""
    fast = mixed.ask("status")["models"]["fast"]
    assert fast["prediction_error_ratio"] >= 1.0
    for one in fast["stage_time_ratio"].values():
        assert one["num_samples"] > 0 and abs(one["ratio"] - 1) < 1e-3
    outcomes = csv.DictReader((mixed.folder / "run" / "measured.csv").open())
    timings = csv.DictReader((mixed.folder / "run" / "timings.csv").open())
    execute_s = [
        float(timing["execute_s"])
        for outcome, timing in zip(outcomes, timings, strict=True)
        if outcome["model"] == "fast"
    ]
    # Two stages of 2 ms, told in whole microseconds.
    assert len(execute_s) == 8 and min(execute_s) >= 0.004 - 2e-6


def check_page(mixed: ServedFleet) -> None:
    ran = mixed.run_verb("report", "run", "-o", "json")
    assert ran.returncode == 0, ran.stderr
    page = (mixed.folder / json.loads(ran.stdout)["report"]).read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "bert" in page and "<svg" in page
    # The name of the SVG format looks like an address, but nothing is fetched from it.
    assert set(re.findall(r"(?:https?:)?//[\w.]+[^\"'\s<)]*", page)) <= {"http://www.w3.org/2000/svg"}


def test_calibration_says_what_a_request_costs_beyond_its_stages(mixed: ServedFleet, address: str):
    ran = mixed.run_verb(
        *("bench", "deployment.yaml", "--plan", "plan.yaml", "--url", address),
        *("--calibrate", "12", "-o", "json"),
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["num_requests"] == 12
    assert found["lower_quartile_s"] <= found["fixed_overhead_s"] <= found["upper_quartile_s"]


def test_calibration_needs_more_than_one_request(mixed: ServedFleet, address: str):
    ran = mixed.run_verb(
        *("bench", "deployment.yaml", "--plan", "plan.yaml", "--url", address, "--calibrate", "1")
    )
    assert ran.returncode == 2
    assert "error: one request has no spread" in ran.stderr and "hint: " in ran.stderr


def test_bench_says_when_nobody_answers(mixed: ServedFleet, trace_file: Path):
    ran = mixed.run_verb(
        *("bench", "deployment.yaml", "--plan", "plan.yaml", "--trace", trace_file.name),
        *("--url", "127.0.0.1:1"),
    )
    assert ran.returncode == 4
    assert "error: no fleet answers at 127.0.0.1:1" in ran.stderr and "Traceback" not in ran.stderr


def test_a_second_fleet_of_the_same_name_is_refused_and_the_first_goes_on(mixed: ServedFleet, client: Client):
    ran = mixed.run_verb("serve", "deployment.yaml", "--plan", "plan.yaml", "--port", "0", "--http-port", "0")
    assert ran.returncode == 1
    assert "error: a fleet of this name runs already (.statmux/mixed/control.sock)" in ran.stderr
    assert "hint: stop it with `statmux stop`" in ran.stderr
    assert mixed.ask("status")["is_ready"]
    assert client.is_ready()


@pytest.mark.parametrize("endpoint", ["http", "metrics"])
def test_a_port_in_use_is_named_and_nothing_stays(mixed: ServedFleet, folder: Path, endpoint: str):
    port = mixed.ask("status")["endpoints"][endpoint].rpartition(":")[2]
    ports = {"grpc": "0", "http": "0", "metrics": "0"} | {endpoint: port}
    flags = [part for name, one in ports.items() for part in (f"--{name}-port", one)]
    for name in ("deployment.yaml", "plan.yaml", "fast.json", "slow.json", "chat.json", "huge.json"):
        (folder / name).write_bytes((mixed.folder / name).read_bytes())
    (folder / "chat").symlink_to(mixed.folder / "chat")
    ran = run_verb(folder, "serve", "deployment.yaml", "--plan", "plan.yaml", *flags)
    assert ran.returncode == 1
    assert f"127.0.0.1:{port}" in ran.stderr
    assert "hint: " in ran.stderr and "Traceback" not in ran.stderr
    assert "Ray" not in ran.stderr, "it is known before anything slow begins"
    assert list((folder / ROOT).glob("*/control.sock")) == []


def test_stop_where_no_fleet_runs_says_so(folder: Path):
    ran = run_verb(folder, "stop")
    assert ran.returncode == 4
    assert "error: no fleet was started in this folder" in ran.stderr
    assert "hint: " in ran.stderr
