"""Ends a process that nobody wants any more: its controller died, and no other has come."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

import structlog

_log = structlog.get_logger("statmux.worker")
# How long an orphan may take to end in order.
_STOP_S = 10.0


@final
class OrphanWatch:
    """Calls `orphaned` once, on a thread of its own, when nobody has held on to the process for `grace_s`.

    From any thread. Nobody holds on to it at first. A grace of infinity waits for ever.
    """

    def __init__(self, orphaned: Callable[[], None], *, grace_s: float) -> None:
        self._orphaned = orphaned
        self._grace_s = grace_s
        self._num_holds = 0
        self._is_over = False
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        with self._lock:
            self._wait()

    def wait_for(self, grace_s: float) -> None:
        """From now on."""
        with self._lock:
            self._grace_s = grace_s
            self._wait()

    def hold(self) -> None:
        """Somebody is there, until `release`."""
        with self._lock:
            self._num_holds += 1
            self._wait()

    def release(self) -> None:
        with self._lock:
            assert self._num_holds > 0, self._num_holds
            self._num_holds -= 1
            self._wait()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Somebody is there for the length of a call."""
        self.hold()
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        """The process is ended in order: nothing is called any more."""
        with self._lock:
            self._is_over = True
            self._wait()

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._num_holds == 0 and not self._is_over and math.isfinite(self._grace_s):
            self._timer = threading.Timer(self._grace_s, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        with self._lock:
            # Who came while this thread began has cancelled the timer too late.
            is_orphan = self._timer is threading.current_thread() and not self._is_over
            self._is_over = self._is_over or is_orphan
        if is_orphan:
            self._orphaned()


def end_orphaned(stop: Callable[[], None], *, give_back: Callable[[], None], socket_path: str = "") -> None:
    """End this process in order, if that does not take too long; never returns.

    give_back: of what is reserved for it. socket_path: whose folder goes, too, if nothing else is in it.
    """
    _log.warning("nobody has wanted this process for too long: it ends", pid=os.getpid())
    last_resort = threading.Timer(_STOP_S, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    try:
        stop()
        if socket_path:
            Path(socket_path).parent.rmdir()
    except (OSError, RuntimeError) as error:
        _log.warning("it did not end in order", why=str(error))
    try:
        give_back()
    finally:
        os._exit(0)
