"""Keeps a local Ray cluster: a script with a process and a session of its own, so nothing outlives a fleet.

Its one argument is a JSON document (`Order`); it prints a JSON line for each node that lives, or one with
`error`. Who started it holds it by its standard input. At the word `end`, at SIGTERM, or when nobody holds
it (its holder died, however), it kills its session, which is all of Ray, and removes the folder. Once it was
told to `stay`, it first waits `grace_s` for another controller, at a Unix socket in the folder: whoever says
`hold` there, and hears `yours`, is the holder until that connection closes.

Ray is started by a child, so that the keeper itself is never busy when it has to end: a thread beside a busy
one waits 5 ms for the interpreter at every look into /proc. Only this file speaks to `ray.cluster_utils`; it
imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn, final

# Linux has the whole of 127.0.0.0/8; Ray turns 127.0.0.1 into the machine's outer address, not 127.0.0.2.
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
# Below the ports that systems hand out by themselves (Linux: from 32768).
_PORTS = range(20000, 32000)
_LOOK_S = 0.5
SOCKET_NAME = "keeper.sock"
# Ray looks for dead nodes with these: a killed one is told after about four seconds, not fifteen.
_HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 4,
}


@dataclass(frozen=True, slots=True)
class Order:
    """Devices by host, and where Ray keeps its files (sockets too, so a short path).

    grace_s: how long it waits for another controller.
    """

    devices: Mapping[str, int]
    folder: str
    device_resource: str
    host_label: str
    object_store_bytes: int
    grace_s: float = 0.0

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
    watch = _Watch(order)
    watch.wait(keeper)
    _end(order)


@final
class _Watch:
    """Who holds the keeper, and since when nobody does."""

    def __init__(self, order: Order) -> None:
        self._grace_s = order.grace_s
        self._stays = False
        self._alone_since_s = 0.0
        self._holder: int | None = sys.stdin.fileno()
        self._callers: dict[int, socket.socket] = {}
        self._listener = socket.socket(socket.AF_UNIX)
        unheard = f"{order.folder}/unheard.sock"
        self._listener.bind(unheard)
        os.chmod(unheard, 0o600)
        self._listener.listen()
        # Not before it listens: a socket of this name that refuses is a dead keeper's (`ray_leftovers`).
        os.rename(unheard, f"{order.folder}/{SOCKET_NAME}")
        self._selector = selectors.DefaultSelector()
        for each in (self._holder, self._listener.fileno()):
            self._selector.register(each, selectors.EVENT_READ)

    def wait(self, ray: socket.socket) -> None:
        """Return when Ray is to end, or has ended: then `ray` is readable."""
        self._selector.register(ray.fileno(), selectors.EVENT_READ)
        while self._holder is not None or self._left_s() > 0.0:
            for key, _ in self._selector.select(None if self._holder is not None else self._left_s()):
                if key.fd == ray.fileno():
                    return
                if key.fd == self._listener.fileno():
                    self._accept()
                elif not self._hear(key.fd):
                    return

    def _left_s(self) -> float:
        grace_s = self._grace_s if self._stays else 0.0
        return self._alone_since_s + grace_s - time.monotonic()

    def _accept(self) -> None:
        caller, _ = self._listener.accept()
        self._callers[caller.fileno()] = caller
        self._selector.register(caller.fileno(), selectors.EVENT_READ)

    def _hear(self, fd: int) -> bool:
        """False at the word `end`."""
        try:
            words = os.read(fd, 4096).split()
        except OSError:
            words = []
        if not words:
            self._forget(fd)
        for word in words:
            if word == b"end":
                return False
            if word == b"stay":
                self._stays = True
            elif word == b"hold" and fd in self._callers:
                self._answer(fd)
        return True

    def _answer(self, fd: int) -> None:
        is_free = self._holder is None
        if is_free:
            self._holder = fd
        with contextlib.suppress(OSError):
            self._callers[fd].sendall(b"yours\n" if is_free else b"held\n")

    def _forget(self, fd: int) -> None:
        self._selector.unregister(fd)
        if fd in self._callers:
            self._callers.pop(fd).close()
        if fd == self._holder:
            self._holder, self._alone_since_s = None, time.monotonic()


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
    # No port: Ray's dashboard, which is there also without its pages, would serve its own metrics on all
    # addresses to everybody, and logs that it cannot.
    os.environ["DASHBOARD_METRIC_PORT"] = "65536"
    from ray.cluster_utils import Cluster

    cluster = Cluster(shutdown_at_exit=True)
    try:
        for host, num_devices in order.devices.items():
            cluster.add_node(**_node(order, host, num_devices, is_head=cluster.head_node is None))
            _say(host=host, address=cluster.address)
    except Exception as error:
        _say(error=str(error).strip() or repr(error))
        threading.Event().wait()  # the logs stay until they are read
    # Without its head, Ray would let the fleet's calls hang for a minute. Looking at the others reaps what
    # has died of them: a raylet that is a zombie is not dead to its workers.
    while cluster.head_node.remaining_processes_alive():
        for node in cluster.list_all_nodes():
            node.remaining_processes_alive()
        time.sleep(_LOOK_S)


def _node(order: Order, host: str, num_devices: int, *, is_head: bool) -> dict[str, object]:
    grpc, http, environment, metrics, dashboard = free_ports(5)
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
    head_only = {
        "include_dashboard": False,
        "dashboard_port": dashboard,
        "no_monitor": True,
        "_system_config": _HEALTH,
    }
    return node | head_only if is_head else node


def free_ports(count: int) -> list[int]:
    """That nobody listens on at the moment. Raises RuntimeError where there are not so many."""
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
