"""A Ray cluster of our own on this machine: every host of the deployment is a Ray node here."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import final

from controller.on_ray import keeper as ray_keeper
from controller.on_ray.hosts import DEVICE_RESOURCE, HOST_LABEL
from vocabulary.errors import RuntimeFailure

# Ray refuses less than 75 MiB; requests never pass through the object store.
OBJECT_STORE_BYTES = 80 * 2**20
_LOG_LINES, _LOG_BYTES = 8, 16384


@final
class LocalRay:
    """Starts and stops a keeper, which stops Ray when this process is gone. Files go to `folder`.

    grace_s: how long it waits for another process first, once it was told to `stay` (`ray_kept.KeptRay`).
    """

    def __init__(
        self,
        devices: Mapping[str, int],
        *,
        folder: Path,
        object_store_bytes: int = OBJECT_STORE_BYTES,
        grace_s: float = 0.0,
    ) -> None:
        self._order = ray_keeper.Order(
            devices, str(folder), DEVICE_RESOURCE, HOST_LABEL, object_store_bytes, grace_s
        )
        self._folder = folder
        self._keeper: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Begin; returns at once. `folder` must exist."""
        (self._folder / "ray").mkdir()
        (self._folder / "neutral").mkdir()
        with (self._folder / "keeper.log").open("wb") as log:
            self._keeper = subprocess.Popen(
                # -P: the script's folder is not a place to import from.
                [sys.executable, "-P", ray_keeper.__file__, self._order.to_json()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._folder / "neutral",
                env=_environment(self._folder),
                start_new_session=True,
            )

    def wait(self, *, timeout_s: float, progress: Callable[[str], None]) -> str:
        """The cluster's address when every node lives. Raises RuntimeFailure with the tail of Ray's logs."""
        num_hosts = len(self._order.devices)
        said = (_said(line) for line in self._lines(time.monotonic() + timeout_s))
        for number, words in enumerate(filter(None, said), start=1):
            if "error" in words:
                raise self._failure(words["error"].strip().splitlines()[0])
            progress(f"Ray node {number} of {num_hosts} lives: {words['host']}")
            if number == num_hosts:
                return words["address"]
        if self._keeper is not None and self._keeper.poll() is not None:
            raise self._failure(f"its process ended with status {self._keeper.returncode}")
        raise self._failure(f"its {num_hosts} nodes did not come up within {timeout_s:g} s")

    def is_alive(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    @property
    def pid(self) -> int:
        """Of the keeper."""
        assert self._keeper is not None, "launch it first"
        return self._keeper.pid

    def stay(self) -> None:
        """From now on, wait for another process when this one is gone."""
        self._say(b"stay\n")

    def leave(self) -> None:
        """It goes on without this process."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            assert keeper.stdin is not None and keeper.stdout is not None
            keeper.stdin.close()
            keeper.stdout.close()

    def stop(self) -> None:
        """Nothing of it runs afterwards; may be called again."""
        self._say(b"end\n")
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None and keeper.stdout is not None
        with contextlib.suppress(OSError):  # a word that was not read: it is dead
            keeper.stdin.close()
        try:
            keeper.wait(timeout=20.0)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        keeper.stdout.close()
        ray_keeper.kill_session(keeper.pid)

    def log_tail(self, pattern: str = "*") -> str:
        """The last lines of Ray's logs that hold errors, of files whose name fits `pattern`."""
        return log_tail(self._folder, pattern)

    def _say(self, word: bytes) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(OSError):  # It is dead, which `is_alive` tells.
                os.write(self._keeper.stdin.fileno(), word)

    def _lines(self, deadline_s: float) -> Iterator[bytes]:
        """What the keeper says, until the deadline or its end."""
        assert self._keeper is not None and self._keeper.stdout is not None
        stream = self._keeper.stdout.fileno()
        unread = b""
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0 or not select.select([stream], [], [], left_s)[0]:
                return
            chunk = os.read(stream, 65536)
            if not chunk:
                self._keeper.wait()
                return
            *lines, unread = (unread + chunk).split(b"\n")
            yield from lines

    def _failure(self, why: str) -> RuntimeFailure:
        tail = self.log_tail()
        hint = f"Ray's log ends with:\n{tail}" if tail else "Ray left no log; is the disk full or read-only?"
        return RuntimeFailure(f"Ray did not start: {why}", hint=hint)


def log_tail(folder: Path, pattern: str = "*") -> str:
    """The last error lines of the logs under `folder`; without errors, the last lines of the newest log."""
    logs = [folder / "keeper.log", *folder.glob(f"ray/session_*/logs/{pattern}")]
    ends = []
    for log in logs:
        with contextlib.suppress(OSError):  # Ray, or whoever ends it, may remove files at any time
            ends.append((*_end_of(log), log.name))
    lines = [
        f"{name}: {line}" for _, text, name in sorted(ends) for line in text.splitlines() if line.strip()
    ]
    errors = [line for line in lines if " E " in line or "rror" in line]
    return "\n".join((errors or lines)[-_LOG_LINES:])


def _said(line: bytes) -> Mapping[str, str] | None:
    """None: that was somebody else, since Ray may print, too."""
    try:
        words = json.loads(line)
    except ValueError:
        return None
    return words if isinstance(words, dict) and words.keys() & {"host", "error"} else None


def _end_of(log: Path) -> tuple[float, str]:
    """When it was written last, and its end; nothing of what only points to another."""
    if log.is_symlink() or not log.is_file():
        return 0.0, ""
    with log.open("rb") as file:
        found = os.fstat(file.fileno())
        file.seek(max(0, found.st_size - _LOG_BYTES))
        return found.st_mtime, file.read().decode(errors="replace")


def _environment(folder: Path) -> dict[str, str]:
    """The user's, with Ray's files in our folder, and without what Ray would send home or measure."""
    ours = {
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_enable_metrics_collection": "0",
    }
    return {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"} | ours
