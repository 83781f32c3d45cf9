"""The Helm chart: its values against their schema, and what Helm makes of them where it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from statmux.main import run
from tests.deploy.chart import (
    CHART,
    DEPLOY,
    KINDS,
    NO_HELM,
    ChartRefused,
    ci_values,
    has_helm,
    of_kind,
    render,
)
from tests.deploy.checking import check, mounted_files, pods

ALL_KINDS = (*KINDS, "monitoring")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
needs_helm = pytest.mark.skipif(not has_helm(), reason=NO_HELM)


def merged(over: dict[str, Any], base: dict[str, Any] = VALUES) -> dict[str, Any]:
    """As Helm lays values over the chart's own."""
    found = dict(base)
    for key, value in over.items():
        below = found.get(key)
        found[key] = merged(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return found


def set_in(values: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    return {**values, first: set_in(values.get(first, {}), rest, value) if rest else value}


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_values_fit_their_schema(kind: str) -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert [*Draft7Validator(SCHEMA).iter_errors(merged(ci_values(kind)))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("imgae", {}),
        ("fullnameOverride", "2nd-fleet"),
        ("image.tag", "latest"),
        ("ray.version", "nightly"),
        ("ports.grpc", 0),
        ("drain.readinessLeadSeconds", -1),
        ("workerGroups", []),
        ("deployment.cluster", {"address": "local"}),
        ("deployment.models", []),
        ("auth.tokens", [{"name": "app", "secret": "in plain"}]),
        ("tls.clientCertificate", True),
    ],
)
def test_values_that_mean_nothing_are_refused(path: str, value: object) -> None:
    assert [*Draft7Validator(SCHEMA).iter_errors(set_in(VALUES, path, value))]


def test_every_object_of_the_schema_is_closed_and_every_value_is_in_it() -> None:
    def check_level(values: dict[str, Any], schema: dict[str, Any], where: str) -> None:
        for key, value in values.items():
            assert key in schema["properties"], f"{where}{key}"
            below = schema["properties"][key]
            if isinstance(value, dict) and "properties" in below and key != "deployment":
                assert below["additionalProperties"] is False, f"{where}{key}"
                check_level(value, below, f"{where}{key}.")

    assert SCHEMA["additionalProperties"] is False
    check_level(VALUES, SCHEMA, "")


def test_every_value_has_words_for_helm_docs() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    top = [index for index, line in enumerate(lines) if line and not line[0].isspace() and line[0] != "#"]
    for index in top:
        below = "\n".join(lines[index - 3 : index] + lines[index + 1 : index + 3])
        assert "# --" in below or lines[index].startswith("ports"), lines[index]


def test_rules_and_dashboards_of_the_chart_are_those_of_deploy() -> None:
    """Links, which Helm follows when it renders and when it packs."""
    assert (CHART / "rules" / "rules.yaml").resolve() == DEPLOY / "prometheus" / "rules.yaml"
    assert (CHART / "dashboards").resolve() == DEPLOY / "grafana"


@needs_helm
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_everything_that_helm_makes_fits_its_schema(kind: str) -> None:
    objects = render(ci_values(kind))
    assert of_kind(objects, "RayCluster")
    for one in objects:
        check(one)


@needs_helm
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_deployment_that_helm_writes_is_valid(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objects = render(ci_values(kind))
    (config,) = [one for one in of_kind(objects, "ConfigMap") if "deployment.yaml" in one["data"]]
    (cluster,) = of_kind(objects, "RayCluster")
    for path, text in mounted_files(pods(cluster)[0], config["data"]).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    assert run(["validate", str(tmp_path / "deployment.yaml")]) == 0, capsys.readouterr().err


@needs_helm
def test_rules_and_dashboards_come_as_they_are() -> None:
    objects = render(ci_values("monitoring"))
    (rules,) = of_kind(objects, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())
    files = {path.name: path.read_text() for path in (DEPLOY / "grafana").glob("*.json")}
    maps = [one for one in of_kind(objects, "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
    shown = {name: json.loads(text) for one in maps for name, text in one["data"].items()}
    assert files and shown == {name: json.loads(text) for name, text in files.items()}


@needs_helm
def test_tokens_are_made_where_no_secret_is_named() -> None:
    (secret,) = of_kind(render({"insecure": True}), "Secret")
    assert set(secret["data"]) == {"app", "ops", "metrics"}
    assert len(set(secret["data"].values())) == 3
    assert of_kind(render(ci_values("cpu")), "Secret") == []


def group_of(**values: object) -> dict[str, Any]:
    """With no more than the schema asks for."""
    device = {"kind": "cpu", "type": "cpu", "count": 2, "memory": "1GiB"}
    return {"name": "cpu", "replicas": 1, "device": device, **values}


@needs_helm
def test_a_host_that_is_retired_keeps_its_group_and_loses_its_pod() -> None:
    """KubeRay lets no group go."""
    objects = render({"insecure": True, "workerGroups": [group_of(retired=1)]})
    (cluster,) = of_kind(objects, "RayCluster")
    groups = {group["groupName"]: group["replicas"] for group in cluster["spec"]["workerGroupSpecs"]}
    assert groups == {"cpu-0": 1, "cpu-1": 0}
    (config,) = of_kind(objects, "ConfigMap")
    (node,) = yaml.safe_load(config["data"]["deployment.yaml"])["cluster"]["nodes"]
    assert node["count"] == 1


@needs_helm
def test_each_front_end_is_scraped() -> None:
    values = {**ci_values("monitoring"), "deployment": {**VALUES["deployment"], "serving": {"front_ends": 3}}}
    objects = render(values)
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = [one for one in of_kind(objects, "Service") if one["metadata"]["name"] == "statmux-metrics"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert ports == {"prom": 8002, "prom-1": 8003, "prom-2": 8004}
    endpoints = monitor["spec"]["endpoints"]
    assert [endpoint["port"] for endpoint in endpoints] == list(ports)
    jobs = {endpoint["relabelings"][0]["replacement"] for endpoint in endpoints}
    assert jobs == {"statmux/serving/statmux"}


@needs_helm
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "tls.existingSecret is empty"),
        ({"auth": {"enabled": False}, "tls": {"existingSecret": "tls"}}, "auth.enabled is false"),
        (
            {"insecure": True, "auth": {"enabled": True, "tokens": []}, "serviceMonitor": {"enabled": True}},
            "metrics",
        ),
    ],
)
def test_what_would_be_open_to_all_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ChartRefused, match=words):
        render(values)
