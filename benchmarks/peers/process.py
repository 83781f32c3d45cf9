"""One peer in its own session of processes: started, watched until it answers, ended with all it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import grpc

from benchmarks.peers.wire import call
from vocabulary.errors import RuntimeFailure, TimedOut

READY_TIMEOUT_S = 120.0
# After a pause every timer of a cluster is due at once.
SETTLE_S = 1.0
STOP_TIMEOUT_S = 60.0
_POLL_S = 0.25
_CALL_TIMEOUT_S = 10.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a peer that answers on `port`.

    num_errors: failed calls by its own count, so far. varying_bytes: how much two right replies may differ.
    """

    port: int
    command: Sequence[str]
    num_errors: Callable[[], int]
    varying_bytes: int = 0


@final
class Peer:
    """A running peer. `log` holds what its processes print."""

    def __init__(self, name: str, launch: Launch, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.port = launch.port
        self._count_errors = launch.num_errors
        self._varying_bytes = launch.varying_bytes
        self._num_early_errors = 0
        self._process = process
        self._log = log

    def wait_until_ready(self) -> None:
        """Return after the first right reply. Raises RuntimeFailure if it ends, TimedOut if it is slow."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                raise RuntimeFailure(f"{self.name} ended while starting\n{self._tail()}")
            try:
                call(self.port, timeout_s=_POLL_S)
                self._num_early_errors = self._count_errors()
                return
            except grpc.RpcError:
                time.sleep(_POLL_S)
        raise TimedOut(f"{self.name} did not answer within {READY_TIMEOUT_S:.0f} s\n{self._tail()}")

    def check(self) -> int:
        """Bytes of the shortest right reply, from one that came now.

        Raises RuntimeFailure if none came, or if the peer counted errors since it was ready.
        """
        try:
            reply = call(self.port, timeout_s=_CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise RuntimeFailure(
                f"{self.name}: {error.code().name}: {error.details()}\n{self._tail()}"
            ) from error
        if num_errors := self._count_errors() - self._num_early_errors:
            raise RuntimeFailure(f"{self.name} counted {num_errors} failed calls\n{self._tail()}")
        return len(reply) - self._varying_bytes

    def cpu_s(self) -> float:
        """Processor seconds of all its processes that still run."""
        return sum(_cpu_s(pid) for pid in session_pids(self._process.pid))

    def pause(self) -> None:
        """Stop all its processes where they are, so that they take no time from another peer."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused peer go on; returns when its timers have settled."""
        self._signal(signal.SIGCONT)
        time.sleep(SETTLE_S)

    def stop(self) -> None:
        """Ask the first process to end, then end what it left: HAProxy outlives its cluster by minutes."""
        self._signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in session_pids(self._process.pid):
            _send(pid, number)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])


def start(name: str, launch: Launch, folder: Path) -> Peer:
    """Start the peer with its output in `folder`. Not yet ready."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Peer(name, launch, process, log)


def session_pids(session_id: int) -> list[int]:
    """The living processes of a session: a peer's own, whoever their parent is by now."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [
        pid for pid in pids if (fields := _stat(pid)) and int(fields[3]) == session_id and fields[0] != "Z"
    ]


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the third field (the state) on; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S if fields else 0.0


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
