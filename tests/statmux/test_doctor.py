"""`statmux doctor` as a user meets it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.statmux.in_process import statmux

DEPLOYMENT = """\
models:
- {{name: a, source: 'random://llama-tiny', slo: {{latency_ms: 100}}, workload: {{rate_rps: 50}}}}
endpoints: {{grpc: {{port: {port}}}, http: {{enabled: false}}}}
observability: {{metrics: {{port: 0}}}}
"""


@pytest.fixture
def taken_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def document(done) -> dict:
    return json.loads(done.stdout)


def levels(done) -> dict[str, str]:
    """Of the first finding of each topic."""
    return {one["topic"]: one["level"] for one in reversed(document(done)["findings"])}


def test_it_looks_at_everything_and_says_how_it_is(tmp_path: Path):
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT.format(port=0))
    done = statmux("doctor", "deployment.yaml", "-o", "json", folder=tmp_path)
    found = levels(done)
    assert done.returncode == ("bad" in found.values())
    assert {"python", "jax", "ray", "memory", "disk", "file limit", "clock", "gRPC port"} <= set(found)
    assert (found["python"], found["gRPC port"], found["deployment"]) == ("ok", "ok", "ok")
    assert "HTTP port" not in found


def test_a_port_that_is_taken_is_bad_and_exits_with_1(tmp_path: Path, taken_port: int):
    (tmp_path / "deployment.yaml").write_text(DEPLOYMENT.format(port=taken_port))
    done = statmux("doctor", "deployment.yaml", folder=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    index = next(index for index, line in enumerate(lines) if "gRPC port" in line)
    assert lines[index].split() == ["bad", "gRPC", "port", str(taken_port), "on", "127.0.0.1", "is", "taken"]
    assert lines[index + 1].strip().startswith("-> end what listens there")
    assert " bad" in done.stderr


def test_a_deployment_that_is_wrong_is_one_finding(tmp_path: Path):
    (tmp_path / "deployment.yaml").write_text("modells: []\n")
    done = statmux("doctor", "deployment.yaml", "-o", "json", folder=tmp_path)
    assert done.returncode == 1
    (wrong,) = [one for one in document(done)["findings"] if one["topic"] == "deployment"]
    assert (wrong["level"], document(done)["is_well"]) == ("bad", False)
    assert "did you mean `models`?" in wrong["remedy"]
