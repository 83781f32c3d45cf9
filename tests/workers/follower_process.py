"""A follower in a process of its own, as Ray would start it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from workers.spec import FollowerAddress, WorkerSpec

PATIENCE_S = 60.0
# Not forked: this process has threads, and jax.
_SPAWNS = multiprocessing.get_context("spawn")


class FollowerProcess:
    """`host_name`: processes that give the same share memory; others speak over TCP."""

    def __init__(self, spec: WorkerSpec, *, place: int = 1, host_name: str = "other") -> None:
        self._pipe, theirs = _SPAWNS.Pipe()
        self.process = _SPAWNS.Process(target=_follow, args=(theirs, spec, place, host_name), daemon=True)
        self.process.start()
        theirs.close()
        assert self._pipe.poll(PATIENCE_S), "the follower did not start"
        self.address: FollowerAddress = self._pipe.recv()

    def learn(self, spec: WorkerSpec) -> None:
        """Blocks until it knows the models that the group is to have."""
        self._pipe.send(spec)
        assert self._pipe.poll(PATIENCE_S), "the follower does not learn"
        self._pipe.recv()

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def ends(self) -> bool:
        """Whether it ends by itself."""
        self.process.join(PATIENCE_S)
        return self.process.exitcode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.join(PATIENCE_S)
        self._pipe.close()


def _follow(pipe: Connection, spec: WorkerSpec, place: int, host_name: str) -> None:
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2"}
    follower = _made(spec, place, host_name)
    pipe.send(follower.listen())
    threading.Thread(target=_learn, args=(pipe, follower), daemon=True).start()
    follower.wait()
    follower.stop()


def _learn(pipe: Connection, follower: Any) -> None:
    with suppress(EOFError, OSError):
        while True:
            follower.learn(pipe.recv())
            pipe.send("learned")


def _made(spec: WorkerSpec, place: int, host_name: str) -> Any:
    # jax reads its environment when it is imported.
    from resharding.transport.host import HostTransport
    from workers.follower import Follower

    transport = HostTransport(host=host_name or None, timeout_s=spec.peer_timeout_s)
    return Follower(spec, place=place, transport=transport)
