"""The commands of deploy/compose.yaml make a fleet: a Ray that is joined, nodes, tokens, a drain."""

from __future__ import annotations

import signal
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from statmux.client import Client, NotAllowed
from tests.controller.ray_fleet import processes_of
from tests.deploy.compose_processes import Composed, composed

pytestmark = [pytest.mark.cluster, pytest.mark.nightly]
_END_S = 60.0


@pytest.fixture(scope="module")
def fleet() -> Iterator[Composed]:
    """Not in pytest's own folder: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="dep-") as folder, composed(Path(folder)) as found:
        yield found
    assert processes_of(folder) == []


def get(url: str, token: str | None = None) -> int:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10).status
    except urllib.error.HTTPError as error:
        return error.code


def test_it_waited_for_the_nodes_and_each_is_the_host_that_its_label_says(fleet: Composed) -> None:
    said = (fleet.folder / "controller.log").read_text()
    assert "waiting for the Ray" in said
    hosts = {device.rpartition(":")[0] for group in fleet.status["groups"] for device in group["devices"]}
    assert hosts <= {"node-0", "node-1"}


def test_clients_need_a_token_and_probes_do_not(fleet: Composed) -> None:
    address = f"127.0.0.1:{fleet.port('grpc')}"
    with Client(address, token=fleet.secrets["app"]) as client:
        assert {model.name for model in client.models()} == {"search", "chat"}
    with Client(address) as client, pytest.raises(NotAllowed):
        client.models()
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "liveness"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert get(f"http://127.0.0.1:{fleet.port('http')}/readyz") == 200


def test_only_the_token_of_prometheus_reads_metrics(fleet: Composed) -> None:
    url = f"http://127.0.0.1:{fleet.port('metrics')}/metrics"
    told = [get(url), get(url, fleet.secrets["app"]), get(url, fleet.secrets["metrics"])]
    assert told == [401, 401, 200]


def test_it_ends_by_sigterm_as_a_container_does(fleet: Composed) -> None:
    """The last test: the shell has become statmux, which drains and ends with 0."""
    fleet.controller.send_signal(signal.SIGTERM)
    assert fleet.controller.wait(timeout=_END_S) == 0
    assert "draining" in (fleet.folder / "controller.log").read_text()
