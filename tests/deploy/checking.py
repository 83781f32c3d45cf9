"""Objects against the schemas of Kubernetes, and of the custom resources that the chart makes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft7Validator

SCHEMAS = Path(__file__).parent / "schemas"
CUSTOM = {
    "RayCluster": "raycluster.json",
    "ServiceMonitor": "servicemonitor.json",
    "PrometheusRule": "prometheusrule.json",
}
# The oldest that the chart admits and the package has, and its newest.
KUBERNETES = ("1.28", "1.37")


def check(one: Mapping[str, Any]) -> None:
    """Raises a ValidationError that names the place."""
    if one["kind"] in CUSTOM:
        schema = json.loads((SCHEMAS / CUSTOM[one["kind"]]).read_text())
        Draft7Validator(schema).validate(one)
    for plain in [*_pod_templates(one)] if one["kind"] in CUSTOM else [one]:
        for version in KUBERNETES:
            kubernetes_validate.validate(plain, version, strict=True)


def pods(cluster: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Specs of the pods of a RayCluster, the head's first."""
    spec = cluster["spec"]
    return [group["template"]["spec"] for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]]


def container(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in pod["containers"] if one["name"] == name)


def mounted_files(pod: Mapping[str, Any], config: Mapping[str, str]) -> dict[str, str]:
    """Text by path below /etc/statmux, as the pod's volume lays out the ConfigMap."""
    (volume,) = [one["configMap"] for one in pod["volumes"] if one["name"] == "deployment"]
    return {item["path"]: config[item["key"]] for item in volume["items"]}


def words_of(value: Any) -> Iterator[str]:
    """Every string in it."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from words_of(each)
    elif isinstance(value, Sequence):
        for each in value:
            yield from words_of(each)


def _pod_templates(one: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if one["kind"] != "RayCluster":
        return
    spec = one["spec"]
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        yield {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "pod"},
            "template": group["template"],
        }
