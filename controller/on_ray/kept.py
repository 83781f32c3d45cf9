"""A Ray cluster of our own that another process has started: its keeper still runs, and is held from here."""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import time
from pathlib import Path
from typing import final

from controller.on_ray import keeper as ray_keeper
from vocabulary.errors import RuntimeFailure

_ANSWER_S = 5.0
# A holder that has just been killed may not be quite gone.
_HELD_S = 1.0
# A keeper kills its session, and waits for the ends, before it closes its connections.
_END_S = 20.0


@final
class KeptRay:
    """As `LocalRay`, but found. pid: of the keeper whose folder this is."""

    def __init__(self, *, folder: Path, pid: int) -> None:
        self._folder = folder
        self.pid = pid
        self._connection: socket.socket | None = None

    def hold(self) -> bool:
        """Be its holder from now on; False where no keeper runs. Raises RuntimeFailure when it has one."""
        if not self._connect():
            return False
        answer = self._ask(b"hold\n")
        deadline_s = time.monotonic() + _HELD_S
        while answer == b"held\n" and time.monotonic() < deadline_s:
            time.sleep(0.1)
            answer = self._ask(b"hold\n")
        if answer == b"yours\n":
            return True
        self.leave()
        if answer == b"held\n":
            raise RuntimeFailure(
                f"the Ray of this fleet ({self._folder}) is held by a process that lives",
                hint="the fleet runs already: `statmux stop` ends it",
            )
        return False

    def is_alive(self) -> bool:
        if self._connection is None:
            return False
        if not select.select([self._connection], [], [], 0.0)[0]:
            return True
        try:
            return bool(self._connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def stay(self) -> None:
        """It was told so by whoever started it."""

    def leave(self) -> None:
        """It waits for the next."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        """Nothing of it runs afterwards; may be called again, and without `hold`."""
        if self._connection is None and not self._connect():
            return
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.sendall(b"end\n")
        deadline_s = time.monotonic() + _END_S
        while self.is_alive() and time.monotonic() < deadline_s:
            select.select([self._connection], [], [], 0.1)
        self.leave()
        # That somebody listened in its folder shows that the number is still the keeper's.
        ray_keeper.kill_session(self.pid)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> bool:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(self._folder / ray_keeper.SOCKET_NAME))
        except OSError:
            connection.close()
            return False
        self._connection = connection
        return True

    def _ask(self, word: bytes) -> bytes:
        assert self._connection is not None
        try:
            self._connection.sendall(word)
            return self._connection.recv(64)
        except OSError:
            return b""
