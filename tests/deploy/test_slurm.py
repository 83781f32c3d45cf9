"""The Slurm script: its form, and a whole job of two hosts with stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.on_ray.keeper import LOOPBACK, free_ports, kill_session
from controller.verbs.control import ask, socket_path
from tests.controller.ray_fleet import processes_of
from tests.deploy.chart import DEPLOY
from tests.live.fleet_process import run_verb
from vocabulary.deployment import Drain

SCRIPT = DEPLOY / "slurm" / "statmux.sbatch"
JOB = 4711
_END_S = 120.0
FLEET = """\
metadata: {name: job}
cluster:
  nodes:
    - {name: node, count: 2, devices: {type: cpu, count: 2, memory: 512MiB}}
models:
  - {name: search, engine: emulated, profile: small.json, slo: {latency_ms: 100}, workload: {rate_rps: 4}}
placement: {search: {time_budget_s: 0.5}}
serving: {drain: {readiness_lead_s: 0.2, graceful_shutdown_timeout_s: 5}}
endpoints: {grpc: {port: 0}, http: {port: 0}}
observability: {metrics: {port: 0}}
"""
PROFILE = """\
{"api_version": "v1alpha1", "kind": "ModelProfile", "model": "small", "device_type": "cpu",
 "provenance": {"kind": "estimated", "note": "a guess"},
 "entries": [{"tensor": 1, "pipeline": 1, "weight_bytes": [4194304], "stage_latency_s": {"1": [0.005]}}]}
"""


def test_bash_and_shellcheck_take_the_scripts() -> None:
    scripts = [SCRIPT, DEPLOY / "compose" / "secrets.sh"]
    for script in scripts:
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not on PATH: scripts were only parsed")
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_slurm_warns_in_time_to_drain() -> None:
    found = re.search(r"^#SBATCH --signal=B:TERM@(\d+)$", SCRIPT.read_text(), re.M)
    drain = Drain()
    assert found is not None
    assert int(found[1]) >= drain.readiness_lead_s + drain.graceful_shutdown_timeout_s + 30


def test_without_a_deployment_it_says_how_it_is_used() -> None:
    done = subprocess.run(["bash", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "usage: sbatch" in done.stderr


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="slurm-") as path:
        yield Path(path)
    assert processes_of(path) == []


@pytest.mark.cluster
@pytest.mark.nightly
def test_a_job_of_two_hosts_serves_and_drains_when_slurm_warns(folder: Path) -> None:
    _write_programs(folder / "bin")
    (folder / "deployment.yaml").write_text(FLEET)
    (folder / "small.json").write_text(PROFILE)
    job = {"SLURM_JOB_ID": str(JOB), "SLURM_JOB_NODELIST": "n[0-1]", "STATMUX_DEVICES": "2"}
    path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "RAY_TMPDIR": str(folder / "ray")}
    with (folder / "job.log").open("wb") as log:
        script = subprocess.Popen(
            ["bash", SCRIPT, "deployment.yaml"],
            cwd=folder,
            env=os.environ | job | path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        waited = run_verb(
            folder, "status", "--fleet", "job", "--wait", "ready", "--timeout", "120s", timeout_s=150
        )
        assert waited.returncode == 0, (folder / "job.log").read_text()
        groups = ask(folder / socket_path("job"), "status", timeout_s=10.0)["groups"]
        assert {device.rpartition(":")[0] for group in groups for device in group["devices"]} <= {
            "node-0",
            "node-1",
        }
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=_END_S) == 0
        assert "draining" in (folder / "job.log").read_text()
        assert not (folder / "ray").exists()
    finally:
        kill_session(script.pid)
        for pid in processes_of(str(folder)):
            os.kill(pid, signal.SIGKILL)


def _write_programs(folder: Path) -> None:
    """Slurm's, which run here what they are to run elsewhere; Ray gets ports of its own on this machine."""
    folder.mkdir()
    cases = []
    for host in ("n0", "n1"):
        agent, runtime_env, metrics = free_ports(3)
        ports = (
            f"--dashboard-agent-listen-port={agent} --runtime-env-agent-port={runtime_env} "
            f"--metrics-export-port={metrics}"
        )
        cases.append(f"{host}) ports='{ports}';;")
    srun = f"""\
while :; do
    case ${{1:-}} in --nodelist=*) host=${{1#*=}}; shift;; --*) shift;; *) break;; esac
done
case $host in {" ".join(cases)} esac
if [ "$1" = hostname ]; then echo {LOOPBACK}; exit; fi
exec "$@" --node-ip-address={LOOPBACK} --object-store-memory={80 * 2**20} $ports"""
    python = f'exec "{sys.executable}" -P -m'
    programs = {
        "scontrol": "printf 'n0\\nn1\\n'",
        "srun": srun,
        "statmux": f'{python} statmux.main "$@"',
        "ray": f'{python} ray.scripts.scripts "$@"',
    }
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
