"""The image, its locks and the compose file: against schemas, and against what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from statmux.main import command
from statmux.options import Choices
from tests.deploy.chart import DEPLOY
from tests.deploy.checking import SCHEMAS, words_of
from vocabulary.deployment import GrpcEndpoint, HttpEndpoint, MetricsEndpoint
from vocabulary.exposure import check_exposure
from vocabulary.formats.disk import load_deployment

ROOT = DEPLOY.parent
DOCKERFILE = (DEPLOY / "docker" / "Dockerfile").read_text()
IGNORED = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PIN = re.compile(r"^([\w.-]+)==(\S+)")


def pins(path: Path) -> dict[str, set[str]]:
    """Versions by package; several where they hang on Python's."""
    found: dict[str, set[str]] = {}
    for line in path.read_text().splitlines():
        if (pin := PIN.match(line)) is not None:
            found.setdefault(pin[1], set()).add(pin[2])
    return found


def instructions(name: str) -> list[str]:
    """What follows NAME in the Dockerfile, lines joined."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.M)


def test_the_base_is_pinned_and_every_stage_stands_on_it() -> None:
    assert re.search(r"^ARG PYTHON_IMAGE=\S+@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)
    stages = {"${PYTHON_IMAGE}"}
    for line in instructions("FROM"):
        base, name = re.fullmatch(r"(\S+) AS (\S+)", line).groups()  # type: ignore[union-attr]
        assert base in stages
        stages.add(name)
    assert {"cpu", "cuda", "tpu"} < stages


def test_it_runs_as_nobody_in_particular_and_signals_reach_it() -> None:
    assert instructions("USER") == ["10001:10001"]
    assert instructions("ENTRYPOINT") == ['["tini", "--"]']
    assert all(line.startswith("[") for line in instructions("CMD"))
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_its_commands_are_ones_that_the_parser_takes() -> None:
    (served,) = instructions("CMD")
    (health,) = [line.partition(" CMD ")[2] for line in instructions("HEALTHCHECK")]
    for text in (served, health):
        program, verb, *rest = json.loads(text)
        assert program == "statmux"
        command().get_command(None, verb).make_context(verb, rest, obj=Choices())


def test_its_ports_are_the_defaults_of_the_code() -> None:
    ports = {HttpEndpoint().port, GrpcEndpoint().port, MetricsEndpoint().port}
    assert {int(port) for line in instructions("EXPOSE") for port in line.split()} == ports


def test_what_it_copies_is_there_and_not_ignored() -> None:
    kept = [line[1:] for line in IGNORED.splitlines() if line.startswith("!")]
    sources = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source == "." or any(source == each or source.startswith(each) for each in kept), source
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks", "docs"}
    installed = {one.rstrip("*") for one in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert installed <= packages
    assert installed <= set(kept)


@pytest.mark.parametrize("kind", ["cuda", "tpu"])
def test_locks_of_accelerators_add_to_the_lock_and_follow_its_jax(kind: str) -> None:
    ours, added = pins(ROOT / "requirements.lock"), pins(DEPLOY / "docker" / f"requirements-{kind}.lock")
    assert added
    assert not ours.keys() & added.keys()
    assert all(versions <= ours["jax"] for name, versions in added.items() if name.startswith("jax-"))


def test_an_installed_statmux_has_every_file_that_is_not_python() -> None:
    """A wheel has only what `package-data` names; the page of a fleet was missing once."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    packages = {one.rstrip("*") for one in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    missing = [
        path
        for path in listed.splitlines()
        if (package := path.partition("/")[0]) in packages
        and not path.endswith((".py", ".pyi", ".md"))
        and not any(fnmatch(path, f"{package}/{pattern}") for pattern in patterns.get(package, ()))
    ]
    assert missing == []


def test_the_compose_file_fits_the_specification() -> None:
    Draft7Validator(json.loads((SCHEMAS / "compose-spec.json").read_text())).validate(COMPOSE)


def test_files_and_secrets_that_it_mounts_are_there_or_are_made() -> None:
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            is_file = source.startswith("./")
            assert (DEPLOY / source).exists() if is_file else source in COMPOSE["volumes"], (name, mount)
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
    script = (DEPLOY / "compose" / "secrets.sh").read_text()
    made = re.search(r"^for name in (.*); do", script, re.M)
    assert made is not None and set(made[1].split()) == COMPOSE["secrets"].keys()
    assert {each["file"] for each in COMPOSE["secrets"].values()} == {
        f"./compose/secrets/{name}" for name in COMPOSE["secrets"]
    }


def test_ports_are_published_on_loopback_and_images_stay_what_they_are() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    images = [service["image"] for service in SERVICES.values()]
    assert all(":" in image and not image.endswith(":latest") for image in images)
    version = PROJECT["project"]["version"]
    assert f"statmux:{version}" in images and f'image.version="{version}"' in DOCKERFILE


def test_each_service_is_watched_and_may_little() -> None:
    for name, service in SERVICES.items():
        # The controller's is the image's own.
        assert name == "controller" or service["healthcheck"]["test"][0] == "CMD"
        assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_its_deployment_is_served_as_it_says() -> None:
    deployment = load_deployment(DEPLOY / "compose" / "deployment.yaml")
    script = SERVICES["controller"]["command"][-1]
    check_exposure(deployment, insecure="--insecure" in script)
    hosts = [f"{node.name}-{index}" for node in deployment.cluster.nodes for index in range(node.count)]
    assert hosts == [name for name in SERVICES if name.startswith("node-")]
    assert all(SERVICES[host]["hostname"] == host for host in hosts)
    secrets = {f"/run/secrets/{name}" for name in SERVICES["controller"]["secrets"]}
    assert {token.secret_file for token in deployment.security.tokens} <= secrets
    grace_s = int(SERVICES["controller"]["stop_grace_period"].rstrip("s"))
    assert grace_s >= deployment.drain.readiness_lead_s + deployment.drain.graceful_shutdown_timeout_s + 10


def test_prometheus_and_grafana_find_the_fleet() -> None:
    deployment = load_deployment(DEPLOY / "compose" / "deployment.yaml")
    scraped = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"controller:{deployment.metrics.port}"]}]
    assert (
        job["authorization"]["credentials_file"].removeprefix("/run/secrets/")
        in SERVICES["prometheus"]["secrets"]
    )
    (source,) = yaml.safe_load((DEPLOY / "compose" / "grafana" / "datasources.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    (shown,) = yaml.safe_load((DEPLOY / "compose" / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert f"./grafana:{shown['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_no_secret_is_in_plain_sight() -> None:
    assert not [word for word in words_of(COMPOSE) if re.search(r"(?i)(password|token)=", word)]
