"""One fleet as a user runs it: `statmux serve` as a process, its folder, what it says, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, final
from uuid import uuid4

from controller.verbs.control import ROOT, ask

# -P, as the installed command: nothing is imported from where the user stands.
STATMUX = (sys.executable, "-P", "-m", "statmux.main")
# Bounds, for a machine that does other things as well; nothing is measured by them.
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 90.0
# Of Python, asyncio and the handler of signals that Ray brings along.
_STACKS = ("Traceback", "never retrieved", "*** SIG")
# Every process that a fleet starts inherits this variable of its environment.
_MARK = "STATMUX_TEST_FLEET"


@final
class ServedFleet:
    """`statmux serve deployment.yaml --plan plan.yaml` in `folder`, on free ports unless told otherwise."""

    def __init__(self, folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.mark = f"{_MARK}={uuid4()}"
        name, _, value = self.mark.partition("=")
        flags = ("--port", "--http-port", "--metrics-port")
        ports = [part for flag in flags if flag not in arguments for part in (flag, "0")]
        self.process = subprocess.Popen(
            [*STATMUX, "serve", "deployment.yaml", "--plan", "plan.yaml", "-o", "json", *ports, *arguments],
            cwd=folder,
            env=os.environ | {name: value} | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self._said = _Lines(self.process.stderr)
        self._printed = _Lines(self.process.stdout)
        self.ray_folders: set[str] = set()

    @property
    def said(self) -> str:
        """What it wrote to stderr so far."""
        return self._said.text()

    def until_said(self, words: str) -> None:
        """Wait for a line of stderr that holds `words`."""
        self._said.wait_for(lambda lines: any(words in line for line in lines), wanted=words)
        self.ray_folders |= _ray_folders(self.marked_processes())

    def until_ready(self, *, has_ray: bool = True) -> dict[str, Any]:
        """Wait for the document that `serve -o json` prints when the fleet is ready. has_ray: its own, not
        one that was found."""
        self._printed.wait_for(lambda lines: "}" in lines, wanted="the document", also=self._said)
        self.ray_folders |= _ray_folders(self.marked_processes())
        assert self.ray_folders or not has_ray, "a serving fleet has a folder of Ray's"
        return json.loads(self._printed.text())

    def ask(self, verb: str, **words: object) -> dict[str, Any]:
        """Through the control socket, as `statmux status` and `statmux stop` do."""
        sockets = list((self.folder / ROOT).glob("*/control.sock"))
        assert len(sockets) == 1, sockets
        return ask(sockets[0], verb, timeout_s=30.0, **words)

    def group(self, group_id: str) -> dict[str, Any]:
        """A group's part of the status."""
        return next(group for group in self.ask("status")["groups"] if group["id"] == group_id)

    @contextlib.contextmanager
    def held(self, group_id: str) -> Iterator[int]:
        """The group's worker stands still meanwhile, so that what it is sent stays in flight. Its pid."""
        pid = self.group(group_id)["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def until(self, claim: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Ask again until it holds; each look is a round trip to the fleet."""
        end_s = time.monotonic() + timeout_s
        while not claim():
            assert time.monotonic() < end_s, f"never came true: {self.ask('status')}\n{self.said[-6000:]}"

    def run_verb(self, *arguments: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Another verb, in the fleet's folder."""
        return run_verb(self.folder, *arguments, timeout_s=timeout_s)

    def wait(self) -> int:
        """The exit code, when it has ended by itself; then nothing of it may be left."""
        code = self.process.wait(timeout=END_TIMEOUT_S)
        self._said.wait_for_end()
        self._printed.wait_for_end()
        return code

    def check_clean_end(self) -> None:
        """No stack was printed; no process, no folder of its Ray and no control socket is left."""
        assert not [words for words in _STACKS if words in self.said], self.said
        _wait_for_ends(self.marked_processes())
        assert self.marked_processes() == []
        assert [folder for folder in self.ray_folders if Path(folder).exists()] == []
        assert list((self.folder / ROOT).glob("*/control.sock")) == []

    def marked_processes(self) -> list[int]:
        """Living processes that this fleet started, itself included."""
        return [pid for pid in _processes() if self.mark in _environment(pid)]

    def kill(self) -> None:
        """End everything that still runs, in the order that leaves no folder.

        A controller that is told to end takes all along; of one that is killed, workers wait for another.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(timeout=20.0)
        self.process.kill()
        self.process.wait()
        _wait_for_ends(self.marked_processes(), timeout_s=20.0)
        for pid in self.marked_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run_verb(folder: Path, *arguments: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
    """`statmux ARGUMENTS`, to its end."""
    return subprocess.run(
        [*STATMUX, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout_s, input=""
    )


@final
class _Lines:
    """Reads a stream on a thread, so that whoever writes never waits for us."""

    def __init__(self, stream: IO[str]) -> None:
        self._lines: list[str] = []
        self._is_at_end = False
        self._changed = threading.Condition()
        self._stream = stream
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        with self._changed:
            return "\n".join(self._lines)

    def wait_for(
        self, claim: Callable[[list[str]], bool], *, wanted: str, also: _Lines | None = None
    ) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_at_end or claim(self._lines), timeout=START_TIMEOUT_S)
            held = claim(self._lines)
        assert held, f"waited for {wanted}, heard:\n{self.text()}\n{also.text() if also else ''}"

    def wait_for_end(self) -> None:
        self._thread.join(timeout=END_TIMEOUT_S)
        assert not self._thread.is_alive(), "a process that was left holds the stream open"

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._is_at_end = True
            self._changed.notify_all()


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]


def _environment(pid: int) -> str:
    """Of a living process; empty for a zombie, or one that is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    return ""


def _ray_folders(pids: list[int]) -> set[str]:
    variables = {word for pid in pids for word in _environment(pid).split("\0")}
    return {word.partition("=")[2] for word in variables if word.startswith("RAY_TMPDIR=")}


def _wait_for_ends(pids: list[int], *, timeout_s: float = END_TIMEOUT_S) -> None:
    """Processes that were told to end have a moment for it."""
    end_s = time.monotonic() + timeout_s
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            os.close(descriptor)
