"""Further nodes of a Ray on this machine, for tests: one that comes, one that is killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.on_ray.hosts import DEVICE_RESOURCE, HOST_LABEL
from controller.on_ray.keeper import LOOPBACK, free_ports, kill_session
from tests.controller.ray_fleet import processes_of


@contextmanager
def joined_node(address: str, *, host: str, folder: Path, num_devices: int = 4) -> Iterator[None]:
    """`ray start` as an operator's init would, until the end of the context: again if it fails, since a node
    ends by itself where the machine is too busy to start all of it within 30 s.
    """
    agent, runtime_env = free_ports(2)
    options = [
        f"--address={address}",
        f"--node-ip-address={LOOPBACK}",
        "--num-cpus=0",
        "--num-gpus=0",
        f'--resources={{"{DEVICE_RESOURCE}": {num_devices}}}',
        f"--labels={HOST_LABEL}={host}",
        f"--object-store-memory={80 * 2**20}",
        # A node waits seconds for agents that look for ports themselves.
        f"--dashboard-agent-listen-port={agent}",
        f"--runtime-env-agent-port={runtime_env}",
        "--disable-usage-stats",
        "--block",
    ]
    ray_start = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start"]
    started = subprocess.Popen(
        ["/bin/sh", "-c", 'until "$@"; do :; done', "sh", *ray_start, *options],
        cwd=folder,
        env=os.environ | {"RAY_TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        kill_session(started.pid)
        started.wait()


def kill_node(host: str, folder: str) -> None:
    """SIGKILL its raylet, as a machine that loses its power; its workers follow. Returns when it is gone."""
    (raylet,) = [pid for pid in processes_of(folder) if _is_raylet(pid, host)]
    end = os.pidfd_open(raylet)
    os.kill(raylet, signal.SIGKILL)
    assert select.select([end], [], [], 10.0)[0]
    os.close(end)


def _is_raylet(pid: int, host: str) -> bool:
    program, *words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return program.endswith("/raylet") and any(host in word for word in words if "label" in word)
