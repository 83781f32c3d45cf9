"""The main job as `make demo` runs it, on two tiny models, from a folder that would shadow our packages."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from workers.training.byte_llamas import SIZES, first_weights, parsed
from workers.training.checkpoint import save_checkpoint

FLEET = """
metadata: {name: demo}
cluster:
  nodes: [{name: cpu, count: 2, devices: {type: cpu, count: 2, memory: 8MiB}}]
models:
  - name: encoder
    source: random://bert-tiny?seed=1
    profile: profiles/encoder.json
    parallelism: {tensor: [1], pipeline: [1, 2]}
    sequence_lengths: [16]
    slo: {latency_ms: 2000}
    workload: {rate_rps: 5, cv: 4}
  - name: writer
    source: WRITER
    task: generate
    profile: profiles/writer.json
    parallelism: {tensor: [1], pipeline: [1]}
    max_model_len: 192
    batching: {max_batch_size: 2, max_batch_tokens: 16}
    slo: {ttft_ms: 5000}
    workload: {rate_rps: 2, input_tokens: {mean: 16}, output_tokens: {mean: 8}}
"""
# As few shapes as can be: it is profiled, and then not served.
ONE_MODEL = """
metadata: {name: demo}
models:
  - name: encoder
    source: random://bert-tiny?seed=1
    profile: profiles/encoder.json
    batch_sizes: [1]
    sequence_lengths: [16]
    slo: {latency_ms: 2000}
    workload: {rate_rps: 5}
"""
SHADOWS = ("controller", "placement", "scheduling", "simulator", "vocabulary", "workers")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.cluster
def test_demo_plans_serves_replays_and_reports_from_a_folder_with_packages_of_our_names(
    tmp_path: Path,
) -> None:
    for name in SHADOWS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "raise ImportError('the folder of the user shadows ours')"
        )
    size = SIZES["test"]
    save_checkpoint(tmp_path / "byte-llama", size=size, weights=first_weights(parsed(size), seed=0))
    (tmp_path / "fleet.yaml").write_text(FLEET.replace("WRITER", str(tmp_path / "byte-llama")))
    keys = ("endpoints.grpc.port", "endpoints.http.port", "observability.metrics.port")
    ports = [f"--set={key}={free_port()}" for key in keys]
    command = [
        sys.executable,
        "-P",
        "-m",
        "statmux.demo",
        "--example",
        "fleet.yaml",
        "--duration",
        "6s",
        *ports,
    ]
    ended = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    run = json.loads((tmp_path / ".statmux/demo/run/run.json").read_text())
    assert set(run["measured"]["models"]) == {"encoder", "writer"}
    assert run["measured"]["models"]["writer"]["num_output_tokens"] > 0
    assert "\n    def read(self, name):" in ended.stderr, "what the writer wrote"
    assert run["measured"]["num_requests"] > 0
    assert run["errors"] == {}
    assert run["simulated"]["slo_attainment"] == 1.0
    assert "<svg" in (tmp_path / ".statmux/demo/report.html").read_text()
    assert not (tmp_path / ".statmux/demo/control.sock").exists()


def test_demo_that_cannot_start_says_so_and_fails(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text("models: []\n")
    command = [sys.executable, "-P", "-m", "statmux.demo", "--example", "fleet.yaml"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "`statmux profile" in ended.stderr


def test_demo_whose_port_is_taken_ends_with_the_fleet_instead_of_waiting_for_it(tmp_path: Path) -> None:
    (tmp_path / "fleet.yaml").write_text(ONE_MODEL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = f"--set=endpoints.grpc.port={taken.getsockname()[1]}"
        command = [
            sys.executable,
            "-P",
            "-m",
            "statmux.demo",
            "--example",
            "fleet.yaml",
            "--duration",
            "6s",
            port,
        ]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert "another process listens on" in ended.stderr
    assert "`statmux serve` ended with 1" in ended.stderr
