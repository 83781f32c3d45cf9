"""Looks which nodes of Ray's live, again and again, on a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import final

import structlog

from controller.on_ray.nouns import DevicesChanged

_log = structlog.get_logger("statmux.controller")


@final
class NodeWatch:
    """Calls `changed` with what `look` returns, at once and whenever it is something else."""

    def __init__(
        self, look: Callable[[], frozenset[str]], changed: DevicesChanged, *, interval_s: float
    ) -> None:
        self._look = look
        self._changed = changed
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No call comes afterwards, but one that takes longer than a second."""
        self._ended.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def _run(self) -> None:
        told: frozenset[str] | None = None
        while not self._ended.is_set():
            try:
                told = self._look_once(told)
            except Exception:  # the outermost loop of a thread: it looks again
                if not self._ended.is_set():
                    _log.exception("nodes cannot be looked at")
            self._ended.wait(self._interval_s)

    def _look_once(self, told: frozenset[str] | None) -> frozenset[str] | None:
        there = self._look()
        if there != told and not self._ended.is_set():
            self._changed(there)
            return there
        return told
