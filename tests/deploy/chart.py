"""The Helm chart, rendered; `python -m tests.deploy.chart` writes deploy/kubernetes/ from it.

By `helm` where it is on PATH, else by Helm's own library in the package helm-python-sdk, where somebody has
installed that; neither is among the dependencies.
"""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
CHART = DEPLOY / "helm" / "statmux"
MANIFESTS = DEPLOY / "kubernetes"
# Those whose manifests are committed: they need no Helm then.
KINDS = ("cpu", "nvidia", "tpu")
RELEASE, NAMESPACE = "statmux", "serving"
NO_HELM = "helm is not on PATH (nor the package helm-python-sdk installed): the chart was not rendered"
_HEADER = """\
# Written by `python -m tests.deploy.chart`: the chart deploy/helm/statmux with ci/{kind}-values.yaml, for who
# has no Helm. `kubectl apply -n serving -f {kind}.yaml`; the Secrets that it names come first (docs/how-to/
# kubernetes.md).
"""


class ChartRefused(Exception):
    """Helm's words."""


def has_helm() -> bool:
    return shutil.which("helm") is not None or find_spec("helm_python") is not None


def ci_values(kind: str) -> dict[str, Any]:
    return yaml.safe_load((CHART / "ci" / f"{kind}-values.yaml").read_text())


def committed(kind: str) -> list[dict[str, Any]]:
    """The objects of deploy/kubernetes/<kind>.yaml."""
    return list(yaml.safe_load_all((MANIFESTS / f"{kind}.yaml").read_text()))


def render(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All objects, tests included, by kind and name. Raises ChartRefused."""
    texts = _by_helm(values) if shutil.which("helm") is not None else _by_library(values)
    objects = [one for text in texts for one in yaml.safe_load_all(text) if one]
    return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))


def is_hook(one: Mapping[str, Any]) -> bool:
    """Only Helm knows what to do with it."""
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind]


def manifest(kind: str) -> str:
    """The text of deploy/kubernetes/<kind>.yaml."""
    objects = [one for one in render(ci_values(kind)) if not is_hook(one)]
    return _HEADER.format(kind=kind) + yaml.dump_all(objects, Dumper=_Readable, sort_keys=False, width=110)


class _Readable(yaml.SafeDumper):
    """Files inside of files keep their lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def _by_helm(values: Mapping[str, Any]) -> list[str]:
    command = ["helm", "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    done = subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode:
        raise ChartRefused(done.stderr)
    return [done.stdout]


def _by_library(values: Mapping[str, Any]) -> list[str]:
    helm = importlib.import_module("helm_python")
    chart = helm.Chart.load(CHART)
    try:
        chart.validate_schema(chart.merge_values(dict(values)))
        files = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    except helm.HelmError as error:
        raise ChartRefused(str(error)) from error
    return [text for path, text in sorted(files.items()) if path.endswith(".yaml")]


if __name__ == "__main__":
    for each in KINDS:
        (MANIFESTS / f"{each}.yaml").write_text(manifest(each))
