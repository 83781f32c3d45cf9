"""The journal of a fleet: what it decided and why, and what a controller that comes after must know.

It never blocks the loop and never raises into it: a thread writes, what cannot be written is counted, and
`problem` says why.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

import msgspec
import structlog

from controller.journal.lines import SERVED, RequestLine
from controller.journal.storage import EventRow, Rows, Storage

ALL, REFUSED, NONE = "all", "refused", "none"
# Requests wait so long at most before they are in the file; events and documents do not wait.
FLUSH_S = 0.25
# Between two tries of a disk that does not write.
RETRY_S = 1.0
# Some 20 MB; more are counted and dropped.
MAX_QUEUED = 50_000
_MAX_AT_ONCE = 5_000
_CLOSE_S = 5.0
_log = structlog.get_logger("statmux.journal")


class AbstractJournal(ABC):
    """What a fleet writes to. All from the loop's thread, or from any other."""

    @property
    @abstractmethod
    def problem(self) -> str:
        """Why it does not write, "" where it does."""

    @property
    @abstractmethod
    def num_lost(self) -> int:
        """Lines that were never written, since the start."""

    @abstractmethod
    def request(self, line: RequestLine) -> None:
        """A request has been answered."""

    @abstractmethod
    def event(self, kind: str, *, group: str = "", model: str = "", **words: object) -> None:
        """A decision or a fault. words: anything that JSON has, structs and dataclasses too."""

    @abstractmethod
    def remember(self, key: str, document: object) -> Future[bool]:
        """Keep the document for a controller that comes after, instead of what was kept under the key.

        True when it is on the disk; False when the disk did not take it, which is tried again.
        """

    @abstractmethod
    def recall(self, key: str) -> Any:
        """What was remembered last, in plain lists and mappings; None if nothing was."""

    @abstractmethod
    def keep(self, *, requests: str, max_rows: int) -> None:
        """From now on, as where it was made."""

    @abstractmethod
    def close(self) -> None:
        """What waits is written, if that is possible within seconds."""


@final
class NoJournal(AbstractJournal):
    """Keeps nothing, but for what it is asked to remember, as long as it lives."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    @property
    def problem(self) -> str:
        return ""

    @property
    def num_lost(self) -> int:
        return 0

    def request(self, line: RequestLine) -> None:
        return

    def event(self, kind: str, *, group: str = "", model: str = "", **words: object) -> None:
        return

    def remember(self, key: str, document: object) -> Future[bool]:
        self._known[key] = _json(document).encode()
        done: Future[bool] = Future()
        done.set_result(False)
        return done

    def recall(self, key: str) -> Any:
        return msgspec.json.decode(self._known[key]) if key in self._known else None

    def keep(self, *, requests: str, max_rows: int) -> None:
        return

    def close(self) -> None:
        return


class _Document(msgspec.Struct):
    key: str
    text: str
    told: Future


@final
class Journal(AbstractJournal):
    """In an SQLite file. Nothing happens before `open`, and nothing is written after `close`."""

    def __init__(
        self,
        path: Path,
        *,
        max_rows: int = 1_000_000,
        requests: str = ALL,
        hidden: Sequence[str] = (),
        max_queued: int = MAX_QUEUED,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        """max_rows: of requests, and of events. requests: "all", "refused" (all but the served) or "none".
        hidden: secrets, left out wherever they stand. max_queued: lines that wait for the disk."""
        self._storage = Storage(path.absolute(), max_rows=max_rows, hidden=hidden)
        self._requests = requests
        self._max_queued = max_queued
        self._unix_clock = unix_clock
        self._known: dict[str, str] = {}
        self._queue: deque[RequestLine | EventRow] = deque()
        self._documents: deque[_Document] = deque()
        self._unwritten = Rows()
        self._told: list[Future[bool]] = []
        self._wake = threading.Event()
        self._is_closing = False
        self._is_open = False
        self._problem = ""
        self._num_lost = 0
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)

    def open(self) -> None:
        """Read what was remembered and start to write. Does not raise: `problem` says what is wrong."""
        if self._try(self._open_storage):
            self._known = self._storage.memory()
        self._thread.start()

    @property
    def problem(self) -> str:
        return self._problem

    @property
    def num_lost(self) -> int:
        return self._num_lost

    def request(self, line: RequestLine) -> None:
        if self._requests == ALL or (self._requests == REFUSED and line.fate != SERVED):
            self._put(line)

    def event(self, kind: str, *, group: str = "", model: str = "", **words: object) -> None:
        if self._put((self._unix_clock(), kind, group, model, _json(words))):
            self._wake.set()

    def remember(self, key: str, document: object) -> Future[bool]:
        told: Future[bool] = Future()
        text = _json(document)
        self._known[key] = text
        self._documents.append(_Document(key, text, told))
        self._wake.set()
        return told

    def recall(self, key: str) -> Any:
        text = self._known.get(key)
        return None if text is None else msgspec.json.decode(text)

    def keep(self, *, requests: str, max_rows: int) -> None:
        self._requests = requests
        self._storage.max_rows = max_rows

    def close(self) -> None:
        self._is_closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def _put(self, line: RequestLine | EventRow) -> bool:
        if len(self._queue) >= self._max_queued or self._is_closing:
            self._num_lost += 1
            return False
        self._queue.append(line)
        return True

    # On the thread.

    def _write_until_closed(self) -> None:
        while not self._is_closing:
            self._wake.wait(RETRY_S if self._problem else FLUSH_S)
            self._wake.clear()
            self._write_what_waits()
        self._write_what_waits()
        self._num_lost += self._unwritten.num_lines + len(self._queue)
        self._storage.close()

    def _write_what_waits(self) -> None:
        while self._queue or self._documents or self._unwritten.num_lines or self._unwritten.memory:
            self._take()
            is_written = self._try(self._write)
            for told in self._told:
                if told.set_running_or_notify_cancel():
                    told.set_result(is_written)
            self._told.clear()
            if not is_written:
                return
            self._unwritten = Rows()

    def _take(self) -> None:
        rows = self._unwritten
        while self._documents:
            document = self._documents.popleft()
            rows.memory[document.key] = document.text
            self._told.append(document.told)
        for _ in range(min(len(self._queue), _MAX_AT_ONCE - rows.num_lines)):
            match self._queue.popleft():
                case RequestLine() as line:
                    rows.requests.append(line)
                case event:
                    rows.events.append(event)

    def _write(self) -> None:
        if not self._storage.is_there():
            self._open_storage()
        try:
            self._storage.write(self._unwritten)
        except sqlite3.DatabaseError as error:
            self._say_aside(self._storage.recover(error))
            self._storage.write(self._unwritten)

    def _open_storage(self) -> None:
        self._say_aside(self._storage.open())

    def _say_aside(self, why: str) -> None:
        """The file was opened, perhaps a new one: what was known goes there, too."""
        self._unwritten.known = dict(self._known)
        if why:
            _log.warning("journal put aside", why=why)
            self._unwritten.events.append(
                (self._unix_clock(), "journal_put_aside", "", "", _json({"why": why}))
            )

    def _try(self, act: Callable[[], None]) -> bool:
        """Whether it worked. `problem` says why not, and the log when that changes."""
        try:
            act()
        except (sqlite3.Error, OSError) as error:
            problem = f"the journal is not written: {error}"
        except Exception as error:  # a bug must not end the thread; what it was about is not tried again
            _log.exception("journal failed")
            self._num_lost += self._unwritten.num_lines
            self._unwritten = Rows()
            problem = f"the journal is not written: {type(error).__name__}: {error}"
        else:
            problem = ""
        if problem and not self._problem:
            _log.error("journal not written", why=problem, num_lost=self._num_lost)
        if self._problem and not problem:
            _log.info("journal written again", num_lost=self._num_lost)
        self._problem = problem
        return not problem


def _json(document: object) -> str:
    return msgspec.json.encode(document, enc_hook=str).decode()
