"""Traces on their way to a collector: a thread sends them, and whoever puts one there never waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

import structlog

from controller.tracing.record import CallRecord
from controller.tracing.spans import num_spans

# Traces are sent so often, and earlier when so many wait.
_INTERVAL_S = 1.0
# How long a send that was told to end may take to do so.
_LAST_WORDS_S = 1.0
# What is made and sent at a time: while it is encoded, 0.15 ms a trace, nothing else runs in the process.
BATCH = 8
_log = structlog.get_logger("statmux.tracing")


@dataclass(frozen=True, slots=True)
class Letter:
    """A call, and what its times lack to be Unix times."""

    record: CallRecord
    clock_to_unix_s: float


class Sender(Protocol):
    """Brings traces to a collector. On the outbox's thread, but for `close`."""

    def send(self, letters: Sequence[Letter]) -> str:
        """Blocks for a while. Why they did not arrive, "" if they did. Raises nothing."""

    def close(self) -> None:
        """A send that is under way comes to its end. From any thread."""


@final
class Outbox:
    """Holds at most `max_waiting`; what does not fit, or is not taken by the collector, is dropped."""

    def __init__(self, sender: Sender, *, max_waiting: int, interval_s: float = _INTERVAL_S) -> None:
        self._sender = sender
        self._max_waiting = max_waiting
        self._interval_s = interval_s
        self._waiting: deque[Letter] = deque()
        self._called = threading.Event()
        self._is_closing = False
        self._problem = ""
        # Each is written by one thread only.
        self._num_refused = self._num_lost = 0
        self.num_sent = 0
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    @property
    def num_dropped(self) -> int:
        """Spans that no collector will see."""
        return self._num_refused + self._num_lost

    @property
    def problem(self) -> str:
        """Why the last traces did not arrive, "" if they did."""
        return self._problem

    def start(self) -> None:
        self._thread.start()

    def put(self, record: CallRecord, *, clock_to_unix_s: float) -> None:
        """Returns at once, whatever the collector does."""
        num_waiting = len(self._waiting)
        if num_waiting >= self._max_waiting or self._is_closing:
            self._num_refused += num_spans(record)
            return
        self._waiting.append(Letter(record, clock_to_unix_s))
        if num_waiting == BATCH:
            self._called.set()

    def close(self, within_s: float) -> None:
        """What waits is sent within so many seconds, and dropped afterwards. Blocks."""
        self._is_closing = True
        self._called.set()
        if self._thread.ident is not None:
            self._thread.join(within_s)
        self._sender.close()
        if self._thread.ident is not None:
            self._thread.join(_LAST_WORDS_S)
        self._num_lost += self._lose_waiting()

    def _run(self) -> None:
        while not self._is_closing:
            self._called.wait(self._interval_s)
            self._called.clear()
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            letters = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._tell(self._sent(letters), letters)
            # Whoever waits for the interpreter gets it between two batches.
            time.sleep(0)

    def _sent(self, letters: Sequence[Letter]) -> str:
        try:
            return self._sender.send(letters)
        except Exception as error:  # the outermost frame of the thread: a bug loses these traces, not all
            _log.exception("traces could not be made")
            return type(error).__name__

    def _tell(self, problem: str, letters: Sequence[Letter]) -> None:
        num = sum(num_spans(letter.record) for letter in letters)
        if problem:
            self._num_lost += num
        else:
            self.num_sent += num
        if bool(problem) != bool(self._problem):
            _log.warning("traces do not arrive", why=problem) if problem else _log.info("traces arrive again")
        self._problem = problem

    def _lose_waiting(self) -> int:
        lost = 0
        while self._waiting:
            lost += num_spans(self._waiting.popleft().record)
        return lost
