"""The containers of deploy/compose.yaml that run statmux, as processes here, by their own commands."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.on_ray.keeper import LOOPBACK, free_ports, kill_session
from controller.verbs.control import ask, socket_path
from tests.controller.ray_fleet import processes_of
from tests.deploy.chart import DEPLOY
from vocabulary.errors import StatmuxError

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
FLEET = "compose"
_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Composed:
    """A fleet that serves. folder: the controller's working folder; secrets: by name."""

    folder: Path
    controller: subprocess.Popen[bytes]
    secrets: Mapping[str, str]
    status: Mapping[str, Any]

    def port(self, name: str) -> str:
        return self.status["endpoints"][name].rpartition(":")[2]


@contextmanager
def composed(folder: Path) -> Iterator[Composed]:
    """Controller and nodes, until the end of the context; nothing of them is left.

    Names and paths of containers become this machine's, models are emulated, ports free ones; the rest is as
    it is written there.
    """
    subprocess.run([DEPLOY / "compose" / "secrets.sh", folder / "secrets"], check=True, capture_output=True)
    shutil.copytree(DEPLOY / "compose" / "profiles", folder / "profiles")
    instead = {
        "controller:6379": f"{LOOPBACK}:{free_ports(1)[0]}",
        "/etc/statmux": str(folder),
        "/run/secrets": str(folder / "secrets"),
    }
    text = (DEPLOY / "compose" / "deployment.yaml").read_text()
    (folder / "deployment.yaml").write_text(_replaced(text, instead))
    _write_programs(folder / "bin")
    with ExitStack() as stack:
        stack.callback(_kill_all, folder)
        controller = _start(stack, folder, "controller", instead, _controller_script)
        for name in ("node-0", "node-1"):
            _start(stack, folder, name, instead, _node_script)
        status = _until_ready(folder, controller)
        secrets = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
        yield Composed(folder, controller, secrets, status)


def _controller_script(script: str, instead: Mapping[str, str]) -> str:
    port = instead["controller:6379"].rpartition(":")[2]
    script = script.replace("--port=6379", f"--port={port} {_own_ports()}")
    return f"{script.rstrip()} --engine emulated --port 0 --http-port 0 --metrics-port 0"


def _node_script(script: str, instead: Mapping[str, str]) -> str:
    # What `restart: unless-stopped` is for: the head is not there yet.
    return f"until {script.removeprefix('exec ')} {_own_ports()}; do sleep 0.2; done"


def _own_ports() -> str:
    agent, runtime_env, metrics = free_ports(3)
    return (
        f"--node-ip-address={LOOPBACK} --dashboard-agent-listen-port={agent} "
        f"--runtime-env-agent-port={runtime_env} --metrics-export-port={metrics}"
    )


def _start(
    stack: ExitStack, folder: Path, name: str, instead: Mapping[str, str], adapted: Any
) -> subprocess.Popen[bytes]:
    service = COMPOSE["services"][name]
    *shell, script = service["command"]
    environment = {key: _replaced(value, instead) for key, value in service["environment"].items()}
    ours = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "RAY_TMPDIR": str(folder),
        "STATMUX_TEST_HOSTNAME": service["hostname"],
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*shell, adapted(_replaced(script.replace("$$", "$"), instead), instead)],
            cwd=folder,
            env=os.environ | environment | ours,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    stack.callback(process.wait)
    stack.callback(kill_session, process.pid)
    return process


def _until_ready(folder: Path, controller: subprocess.Popen[bytes]) -> dict[str, Any]:
    end_s = time.monotonic() + _READY_S
    while time.monotonic() < end_s and controller.poll() is None:
        with contextlib.suppress(StatmuxError):
            status = ask(folder / socket_path(FLEET), "status", timeout_s=5.0)
            if status["is_ready"]:
                return status
        time.sleep(0.1)
    logs = "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in folder.glob("*.log"))
    raise AssertionError(f"it is not ready\n{logs}")


def _write_programs(folder: Path) -> None:
    """What the image has on its PATH."""
    folder.mkdir()
    python = f'exec "{sys.executable}" -P -m'
    programs = {
        "statmux": f'{python} statmux.main "$@"',
        "ray": f'{python} ray.scripts.scripts "$@"',
        "hostname": 'echo "$STATMUX_TEST_HOSTNAME"',
    }
    for name, line in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)


def _replaced(text: str, instead: Mapping[str, str]) -> str:
    for old, new in instead.items():
        text = re.sub(re.escape(old), new, text)
    return text


def _kill_all(folder: Path) -> None:
    for pid in processes_of(str(folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
