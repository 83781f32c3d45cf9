"""Rules, alerts and dashboards with a real Prometheus, which scrapes a fleet that serves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.dashboards import DASHBOARDS, DEPLOY, RULES, dashboard, queries, rules, stripped
from tests.deploy.fleet_under_load import FleetUnderLoad
from tests.deploy.prometheus_server import PrometheusServer, program

FOLDER = DEPLOY / "prometheus"
TESTS = sorted((FOLDER / "tests").glob("*_test.yaml"))
# They are true where nothing is there.
ABSENT = {"StatmuxNothingScraped", "StatmuxFleetGone"}


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        [program("promtool"), *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules():
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_prometheus_takes_the_example_with_a_token_beside_it(tmp_path: Path):
    for path in (RULES, FOLDER / "prometheus.yml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "statmux-token").write_text("a secret")
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")


def test_every_alert_fires_when_it_should_and_only_then():
    tested = "".join(path.read_text() for path in TESTS)
    for rule in rules("alert"):
        assert f'alertname="{rule["alert"]}", alertstate="firing"' in tested, rule["alert"]
    promtool("test", "rules", *TESTS)


@pytest.fixture(scope="module")
def fleet() -> Iterator[FleetUnderLoad]:
    program("prometheus")
    with closing(FleetUnderLoad(compat=("vllm", "triton"))) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def prometheus(fleet: FleetUnderLoad, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """It has scraped the fleet before and after a group was lost."""
    made = PrometheusServer(tmp_path_factory.mktemp("prometheus"), fleet.ports)
    with closing(made):
        made.until_ready()
        made.until_value("sum(up)", 2.0)
        made.until_all_have_data(["rate(statmux_groups_lost_total[1m])"])
        fleet.lose_and_reopen()
        yield made


def test_every_panel_variable_and_annotation_has_data(prometheus: PrometheusServer):
    asked = {query.expression for path in DASHBOARDS for query in queries(dashboard(path))}
    assert len(asked) > 60
    prometheus.until_all_have_data(asked)


def test_every_recorded_series_and_what_every_alert_looks_at_has_data(prometheus: PrometheusServer):
    records = {rule["record"] for rule in rules("record")}
    looked_at = {stripped(rule["expr"]) for rule in rules("alert") if rule["alert"] not in ABSENT}
    prometheus.until_all_have_data(records | looked_at)
    groups = prometheus.asked("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(list(rules("record"))) + len(list(rules("alert")))
    assert [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"] == []


def test_a_loss_is_seen_by_the_rate_that_the_dashboard_shows(prometheus: PrometheusServer):
    lost = 'max(increase(statmux_groups_lost_total{group="g1"}[1m]))'
    prometheus.until(lambda: prometheus.values(lost)[0] > 0, what="g1 was lost")


def test_other_servers_names_arrive_as_they_are(prometheus: PrometheusServer):
    prometheus.until_all_have_data(
        [
            "vllm:num_requests_waiting",
            "rate(vllm:e2e_request_latency_seconds_bucket[1m])",
            "rate(nv_inference_request_success[1m])",
        ]
    )


def test_sums_over_the_front_ends_are_what_they_have_counted(
    prometheus: PrometheusServer, fleet: FleetUnderLoad
):
    fleet.stop()
    for name in ("statmux_requests_total", "statmux_slo_met_total", "statmux_output_tokens_total"):
        counted = sum(
            sample.value
            for metrics in fleet.fleet.metrics
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name == name
        )
        assert counted > 0
        prometheus.until_value(f"sum({name})", counted)
    # What front ends tell alike is there once.
    prometheus.until_value("sum(statmux:queue_requests:max)", 0.0)
