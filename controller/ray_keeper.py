"""Keeps a local Ray cluster: a script with a process and a session of its own, so nothing outlives a fleet.

Its one argument is a JSON document (`Order`); it prints a JSON line for each node that lives, or one with
`error`. When its standard input closes (the fleet stopped, or its process died, however) or SIGTERM comes, it
kills its session, which is all of Ray, and removes the folder. Ray is started by a child, so that the keeper
itself is never busy when it has to end: a thread beside a busy one waits 5 ms for the interpreter at every
look into /proc. Only this file speaks to `ray.cluster_utils`; it imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

# Linux has the whole of 127.0.0.0/8; Ray turns 127.0.0.1 into the machine's outer address, not 127.0.0.2.
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
# Below the ports that systems hand out by themselves (Linux: from 32768).
_PORTS = range(20000, 32000)
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """Devices by host, and where Ray keeps its files (sockets too, so a short path)."""

    devices: Mapping[str, int]
    folder: str
    device_resource: str
    host_label: str
    object_store_bytes: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def session_processes(session_id: int) -> list[int]:
    """Ids of the living processes of a session (zombies left out). Empty where there is no /proc."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) == session_id and state != "Z":
                found.append(int(entry.name))
    return found


def kill_session(session_id: int, *, timeout_s: float = 5.0) -> list[int]:
    """SIGKILL every other process of the session and wait for the ends; what would not die is returned.

    All of them have been sent it when this returns, however late it is: the time is for the waiting.
    """
    deadline_s = time.monotonic() + timeout_s
    told: set[int] = set()
    while True:
        left = [pid for pid in session_processes(session_id) if pid != os.getpid()]
        if not left or (time.monotonic() > deadline_s and told.issuperset(left)):
            return left
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        told.update(left)
        time.sleep(0.01)


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the fleet
    keeper, ray = socket.socketpair()
    if os.fork() == 0:
        keeper.close()
        _run_with_keeper(order, ray)
    ray.close()
    signal.signal(signal.SIGTERM, lambda number, frame: _end(order))
    fleet = sys.stdin.fileno()
    while keeper not in (readable := select.select([fleet, keeper], [], [])[0]):
        if fleet in readable and not os.read(fleet, 4096):
            break
    _end(order)


def _run_with_keeper(order: Order, ray: socket.socket) -> NoReturn:
    """In the child: the end of either process is the end of the other, and of all of Ray."""

    def follow() -> None:
        ray.recv(1)
        # The keeper was killed: Ray's own agents would outlive their node by minutes.
        _end(order)

    threading.Thread(target=follow, daemon=True).start()
    try:
        _run(order)
    finally:
        os._exit(0)


def _run(order: Order) -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=True)
    try:
        for host, num_devices in order.devices.items():
            cluster.add_node(**_node(order, host, num_devices, is_head=cluster.head_node is None))
            _say(host=host, address=cluster.address)
    except Exception as error:
        _say(error=str(error).strip() or repr(error))
        threading.Event().wait()  # the logs stay until they are read
    # A Ray that lost a part would let the fleet's calls hang for a minute.
    while cluster.remaining_processes_alive():
        time.sleep(_LOOK_S)


def _node(order: Order, host: str, num_devices: int, *, is_head: bool) -> dict[str, object]:
    grpc, http, environment, metrics, dashboard = _free_ports(5)
    node = {
        "node_ip_address": LOOPBACK,
        "num_cpus": 0,  # nothing is started ahead of the groups' workers
        "num_gpus": 0,
        "resources": {order.device_resource: num_devices},
        "labels": {order.host_label: host},
        "object_store_memory": order.object_store_bytes,
        "include_log_monitor": False,
        # Chosen here since a node waits seconds for its agents where they choose for themselves.
        "metrics_agent_port": grpc,
        "dashboard_agent_listen_port": http,
        "runtime_env_agent_port": environment,
        "metrics_export_port": metrics,
    }
    head_only = {"include_dashboard": False, "dashboard_port": dashboard, "no_monitor": True}
    return node | head_only if is_head else node


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, k=1000):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def _say(**words: str) -> None:
    print(json.dumps(words), flush=True)


def _end(order: Order) -> None:
    """At once: the fleet has left Ray by now or is dead, so nobody needs a farewell."""
    kill_session(os.getsid(0))
    shutil.rmtree(order.folder, ignore_errors=True)
    if not Path("/proc").is_dir():
        os.killpg(0, signal.SIGKILL)  # workers, in groups of their own, follow their node
    os._exit(0)


if __name__ == "__main__":
    main()
