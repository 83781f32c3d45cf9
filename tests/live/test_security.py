"""A real fleet behind TLS and tokens: who may do what, what listens, and where its secrets are not."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import ssl
import struct
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton

from controller.keys import read_keys
from controller.verbs.control import ROOT
from statmux.client import Client, NotAllowed, Unavailable
from tests.controller.security.authority import Authority
from tests.live.fleet_files import write_small_fleet
from tests.live.fleet_process import ServedFleet
from vocabulary.exposure import is_loopback
from vocabulary.formats.disk import load_deployment

pytestmark = pytest.mark.cluster

# Secrets that would be seen anywhere.
CANARIES = {name: f"canary{secrets.token_hex(12)}" for name in ("APP_TOKEN", "OPS_TOKEN", "FILED")}
SECURITY = """\
security:
  tls: {cert: server.pem, key: server.key}
  auth:
    mode: token
    tokens:
    - {name: app, secret_env: APP_TOKEN, models: [m0], max_priority: 2}
    - {name: ops, secret_env: OPS_TOKEN, scopes: [infer, admin, metrics]}
    - {name: filed, secret_file: filed, tenant: team, min_slo_ms: 50}
"""
# One of each kind of Ray's servers that every process of it may be.
RAYS_CALLS = (
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.ReporterService/HealthCheck",
    "/ray.rpc.ObjectManagerService/Pull",
)
X = {"INPUT0": np.arange(4, dtype=np.int32)}


@dataclass(frozen=True, slots=True)
class Guarded:
    """A fleet that serves, and where."""

    fleet: ServedFleet
    folder: Path
    grpc: str
    http: str
    metrics: str

    def client(self, secret: str | None, **own: object) -> Client:
        return Client(self.grpc, token=secret, ca=self.folder / "ca.pem", **own)

    def get(self, url: str, secret: str | None = None, **words: Any) -> bytes:
        request = urllib.request.Request(url, **words)
        if secret is not None:
            request.add_header("authorization", f"Bearer {secret}")
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return answer.read()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """At the end it is stopped, and must leave nothing; and its secrets must be nowhere in what it left."""
    with tempfile.TemporaryDirectory(prefix="live-") as path, ExitStack() as stack:
        folder = write_small_fleet(Path(path), num_groups=2)
        Authority(folder).pair("server")
        (folder / "filed").write_text(CANARIES["FILED"])
        (folder / "filed").chmod(0o600)
        with (folder / "deployment.yaml").open("a") as file:
            file.write(SECURITY)
        environment = {name: CANARIES[name] for name in ("APP_TOKEN", "OPS_TOKEN")}
        fleet = ServedFleet(folder, environment=environment)
        stack.callback(fleet.kill)
        told = fleet.until_ready()
        assert told["http"].startswith("https://") and told["metrics"].startswith("https://"), told
        yield Guarded(fleet, folder, told["grpc"], told["http"], told["metrics"])
        stopped = fleet.run_verb("stop", "--wait", "-o", "json")
        assert stopped.returncode == 0, stopped.stderr
        assert fleet.wait() == 0, fleet.said
        fleet.check_clean_end()
        check_no_secret_in(written_in(folder) | {"stderr": fleet.said, "stdout": json.dumps(told)})


def test_tokens_say_who_may_do_what_over_tls(guarded: Guarded) -> None:
    with guarded.client(CANARIES["APP_TOKEN"]) as app, guarded.client(CANARIES["OPS_TOKEN"]) as ops:
        assert app.infer("m0", X).outputs
        assert [entry.name for entry in app.models()] == ["m0"]
        assert {entry.name for entry in ops.models()} == {"m0", "m1"}
        with pytest.raises(NotAllowed, match="has not the scope admin"):
            app.unload("m0")
        assert ops.infer("m1", X, priority=1).outputs
    with guarded.client("not-a-token") as nobody, pytest.raises(NotAllowed):
        nobody.infer("m0", X)
    with Client(guarded.grpc) as plain, pytest.raises(Unavailable):
        plain.infer("m0", X, timeout_s=5)


def test_tritonclient_shows_a_token_over_tls(guarded: Guarded) -> None:
    client = triton.InferenceServerClient(
        guarded.grpc, ssl=True, root_certificates=str(guarded.folder / "ca.pem")
    )
    tensor = triton.InferInput("INPUT0", [4], "INT32")
    tensor.set_data_from_numpy(X["INPUT0"])
    headers = {"authorization": f"Bearer {CANARIES['FILED']}"}
    assert client.infer("m0", [tensor], headers=headers).as_numpy("OUTPUT0") is not None
    client.close()


def test_admin_routes_and_metrics_of_a_living_fleet(guarded: Guarded) -> None:
    base = f"{guarded.http}/admin/v1"
    status = json.loads(guarded.get(f"{base}/status", CANARIES["OPS_TOKEN"]))
    assert status["fleet"] == "small" and status["is_ready"]
    for secret, code in ((None, 401), (CANARIES["APP_TOKEN"], 403)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            guarded.get(f"{base}/status", secret)
        assert caught.value.code == code
    assert b"statmux_requests_total" in guarded.get(guarded.metrics), "on this machine no token is asked for"
    body = {"data": b"{}", "method": "POST"}
    guarded.get(f"{base}/models/m1/unload", CANARIES["OPS_TOKEN"], **body)
    with guarded.client(CANARIES["OPS_TOKEN"]) as ops:
        assert not ops.is_model_ready("m1")
        guarded.get(f"{base}/models/m1/load", CANARIES["OPS_TOKEN"], **body)
        assert ops.is_model_ready("m1")


def test_renewed_certificate_and_token_count_while_it_serves(guarded: Guarded) -> None:
    with guarded.client(CANARIES["APP_TOKEN"]) as early:
        assert early.is_ready()
        (guarded.folder / "new").mkdir()
        renewed = Authority(guarded.folder / "new")
        pair = renewed.pair("server")
        for path in (pair.key, pair.cert, renewed.ca):
            shutil.copy(path, guarded.folder / path.name)
        with guarded.client(CANARIES["APP_TOKEN"]) as late:
            assert late.infer("m0", X).outputs
        assert early.infer("m0", X).outputs
    fresh = f"canary{secrets.token_hex(12)}"
    old, CANARIES["FILED"] = CANARIES["FILED"], fresh
    CANARIES["OLD"] = old
    (guarded.folder / "filed").write_text(fresh)
    with guarded.client(fresh) as renewed_client:
        guarded.fleet.until(lambda: allows(renewed_client))
    with guarded.client(old) as dismissed, pytest.raises(NotAllowed):
        dismissed.infer("m0", X)


def test_what_listens_is_for_this_machine_only(guarded: Guarded) -> None:
    """Every socket of every process that the fleet started. Servers of Ray may listen on all addresses, since
    it takes no loopback but 127.0.0.1 for one: they must ask for Ray's token."""
    pids = guarded.fleet.marked_processes()
    assert {port_of(guarded.grpc), port_of(guarded.http), port_of(guarded.metrics)} <= set(listening(pids))
    for pid in pids:
        for port, addresses in listening([pid]).items():
            if not all(map(is_loopback, addresses)):
                told = {code_of(port, call) for call in RAYS_CALLS}
                command = Path(f"/proc/{pid}/cmdline").read_bytes()[:200]
                assert grpc.StatusCode.UNAUTHENTICATED in told, (port, addresses, told, command)
                assert grpc.StatusCode.OK not in told, (port, addresses, told, command)


def test_sockets_and_secrets_of_the_fleet_are_its_owners(guarded: Guarded) -> None:
    private = [*(guarded.folder / ROOT).rglob("*.sock"), *(guarded.folder / ROOT).rglob("keys.json")]
    assert len(private) >= 2
    for path in private:
        assert path.stat().st_mode & 0o077 == 0, path
    for group in guarded.fleet.ask("status")["groups"]:
        for path in sockets_of(group["pid"]):
            assert os.stat(path).st_mode & 0o077 == 0, path


def test_worker_hangs_up_on_who_does_not_have_the_key(guarded: Guarded) -> None:
    pid = guarded.fleet.ask("status")["groups"][0]["pid"]
    (path, *_) = [path for path in sockets_of(pid) if "ray" not in path.rsplit("/", 1)[-1]]
    # A length of half a gigabyte, a greeting with a wrong key, and noise.
    for words in (struct.pack("<III", 2**29, 2**20, 0), b"\xff" * 64, b""):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(30.0)
            stranger.connect(path)
            stranger.sendall(words)
            if words:
                assert stranger.recv(64) == b"", "it answered a stranger"
    with guarded.client(CANARIES["APP_TOKEN"]) as app:
        assert app.infer("m0", X).outputs


def test_a_deployment_in_words_shows_no_secret(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_TOKEN", CANARIES["APP_TOKEN"])
    deployment = load_deployment(guarded.folder / "deployment.yaml")
    words = {"repr": repr(deployment), "security": repr(deployment.security)}
    words["document"] = json.dumps(deployment.document, default=str)
    words["status"] = json.dumps(guarded.fleet.ask("status"))
    words["verb"] = guarded.fleet.run_verb("status", "-o", "json").stdout
    check_no_secret_in(words)
    check_no_secret_in(written_in(guarded.folder))


def code_of(port: int, call: str) -> grpc.StatusCode:
    """What somebody without Ray's token is told."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            channel.unary_unary(call)(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def allows(client: Client) -> bool:
    try:
        return bool(client.infer("m0", X).outputs)
    except NotAllowed:
        return False


def written_in(folder: Path) -> dict[str, str]:
    """All files of the fleet, but those that are there to hold secrets."""
    kept = {"keys.json", "filed"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in kept]
    return {str(path): path.read_bytes().decode("latin-1") for path in files if path.suffix != ".key"}


def check_no_secret_in(texts: dict[str, str]) -> None:
    keys = _fleet_keys()
    for place, text in texts.items():
        for name, secret in {**CANARIES, **keys}.items():
            assert secret not in text, f"{name} is in {place}"


def _fleet_keys() -> dict[str, str]:
    """Of the fleet in its folder, while it is there."""
    return dict(_KEYS)


_KEYS: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _remember_keys(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(guarded.folder)
    keys = read_keys("small")
    assert keys is not None
    _KEYS.update(fleet_key=keys.fleet_key, ray_token=keys.ray_token)


def listening(pids: list[int]) -> dict[int, set[str]]:
    """Ports of TCP on which the processes listen -> addresses."""
    inodes = {inode for pid in pids for inode in _socket_inodes(pid)}
    found: dict[int, set[str]] = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                host, port = words[1].split(":")
                raw = b"".join(
                    struct.pack("=I", int(host[start : start + 8], 16)) for start in range(0, len(host), 8)
                )
                found.setdefault(int(port, 16), set()).add(socket.inet_ntop(family, raw))
    return found


def sockets_of(pid: int) -> list[str]:
    """Paths on which a process listens."""
    inodes = _socket_inodes(pid)
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    is_listening = 0x10000
    return [
        row[7]
        for row in rows
        if len(row) > 7 and row[6] in inodes and int(row[3], 16) & is_listening and row[7].startswith("/")
    ]


def _socket_inodes(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            name = os.readlink(link)
        except OSError:
            continue
        if name.startswith("socket:["):
            found.add(name[8:-1])
    return found


def port_of(address: str) -> int:
    return int(address.removeprefix("https://").split("/")[0].rsplit(":", 1)[1])
