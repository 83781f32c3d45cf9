"""What a deployment asks of this machine, and which ports fleets of this folder have already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from controller.verbs.control import ROOT, ask, is_alive
from statmux.doctoring.finding import Finding, Level
from vocabulary.errors import StatmuxError

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment

_ASK_TIMEOUT_S = 5.0


def deployment_findings(path: Path) -> tuple[Deployment | None, Iterator[Finding]]:
    """The deployment, None where its file is wrong, and what is to be said of it."""
    from vocabulary.formats.disk import load_deployment

    try:
        read = load_deployment(path, needs_profiles=False)
    except StatmuxError as error:
        return None, iter((Finding("deployment", Level.BAD, str(error), error.hint or ""),))
    words = f"{path}: {len(read.models)} models for {read.cluster.num_devices} devices"
    found = [Finding("deployment", Level.OK, words)]
    found += [Finding("deployment", Level.WARN, words, "see `statmux validate`") for words in read.warnings]
    return read, iter(found)


def endpoints(deployment: Deployment | None) -> dict[str, tuple[str, int]]:
    """Where it would listen; without one, where a deployment does by default."""
    from vocabulary.deployment import GrpcEndpoint, HttpEndpoint, MetricsEndpoint

    grpc = deployment.grpc if deployment else GrpcEndpoint()
    http = deployment.http if deployment else HttpEndpoint()
    metrics = deployment.metrics if deployment else MetricsEndpoint()
    found = {"gRPC": (grpc.host, grpc.port)}
    if http.is_enabled:
        found["HTTP"] = (http.host, http.port)
    return found | {"metrics": (metrics.host, metrics.port)}


def ports_of_fleets(folder: Path) -> Mapping[int, str]:
    """By port, the fleets of the folder that live and answer there."""
    found = {}
    for path in sorted((folder / ROOT).glob("*/control.sock")):
        if not is_alive(path):
            continue
        try:
            addresses = ask(path, "status", timeout_s=_ASK_TIMEOUT_S).get("endpoints", {})
        except StatmuxError:
            continue
        found |= {int(one.rpartition(":")[2]): path.parent.name for one in addresses.values()}
    return found
