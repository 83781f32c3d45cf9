"""The file of a journal: made, opened, written and kept short, by one thread. SQLite, with a log ahead (WAL).

Readers and other processes of the fleet may use it at the same time.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from controller.journal.lines import RequestLine

# Without an index of request ids: these are random, so each line would dirty a page of its own, and cost six
# times as much to write, for a search that is rare and takes half a second among a million.
# Counted up with every change of the tables; a file of another version is put aside.
SCHEMA_VERSION = 1
TABLES = """
CREATE TABLE request (
    id INTEGER PRIMARY KEY, request_id TEXT NOT NULL, model TEXT NOT NULL, unix_s REAL NOT NULL,
    latency_s REAL NOT NULL, fate TEXT NOT NULL, words TEXT NOT NULL, tenant TEXT NOT NULL,
    "group" TEXT NOT NULL, predicted_latency_s REAL, slo_s REAL, timeout_s REAL, queue_s REAL,
    num_tries INTEGER NOT NULL, protocol TEXT NOT NULL);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, unix_s REAL NOT NULL, kind TEXT NOT NULL, "group" TEXT NOT NULL,
    model TEXT NOT NULL, words TEXT NOT NULL);
CREATE TABLE memory (key TEXT PRIMARY KEY, document TEXT NOT NULL);
"""
COLUMNS = ", ".join(f'"{name}"' for name in RequestLine.__struct_fields__)
_INSERT_REQUEST = (
    f"INSERT INTO request ({COLUMNS}) VALUES ({', '.join('?' * len(RequestLine.__struct_fields__))})"
)
_INSERT_EVENT = 'INSERT INTO event (unix_s, kind, "group", model, words) VALUES (?, ?, ?, ?, ?)'
_REMEMBER = "INSERT OR REPLACE INTO memory (key, document) VALUES (?, ?)"
_REMIND = "INSERT OR IGNORE INTO memory (key, document) VALUES (?, ?)"
_TRIM = "DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - ?"
# A client may name its request by any text; a line of the journal is no place to keep all of it.
MAX_ID_LENGTH = 256
MAX_WORDS_LENGTH = 2000
_BUSY_S = 5.0
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

EventRow = tuple[float, str, str, str, str]


@dataclass(slots=True)
class Rows:
    """What is written at once. events and memory: their words and documents are JSON.

    memory: instead of what is there; known: where nothing is there.
    """

    requests: list[RequestLine] = field(default_factory=list)
    events: list[EventRow] = field(default_factory=list)
    memory: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    @property
    def num_lines(self) -> int:
        return len(self.requests) + len(self.events)


class AnotherVersion(sqlite3.DatabaseError):
    """The file is a journal, and not one of ours."""


@final
class Storage:
    """Everything raises sqlite3.Error or OSError, and may be tried again. Not before `open`."""

    def __init__(self, path: Path, *, max_rows: int, hidden: Sequence[str] = ()) -> None:
        """max_rows: of each table. hidden: never written, wherever it stands."""
        self._path = path
        self.max_rows = max_rows
        self._hidden = tuple(filter(None, hidden))
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def open(self) -> str:
        """Opened, and made where it is not there. What was found corrupt, or of another version, is put
        aside: then a sentence that says so, else ""."""
        self.close()
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            return self.recover(error)
        return ""

    def recover(self, error: sqlite3.DatabaseError) -> str:
        """After it was raised: as `open` where the file is lost, else the error is raised again."""
        self.close()
        if not _is_lost(error):
            raise error
        aside = _put_aside(self._path)
        self._open()
        return f"the journal could not be read ({error}); it is now {aside.name}, and a new one was begun"

    def is_there(self) -> bool:
        """Whether what is written still goes to the file of that name."""
        try:
            return self._connection is not None and os.stat(self._path).st_ino == self._inode
        except FileNotFoundError:
            return False

    def memory(self) -> dict[str, str]:
        """All documents, by key."""
        assert self._connection is not None
        return dict(self._connection.execute("SELECT key, document FROM memory"))

    def write(self, rows: Rows) -> None:
        """All of it or nothing. With documents, it returns when they are on the disk."""
        connection = self._connection
        assert connection is not None
        connection.execute(f"PRAGMA synchronous = {'FULL' if rows.memory else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT_REQUEST, map(self._request_row, rows.requests))
            connection.executemany(_INSERT_EVENT, map(self._event_row, rows.events))
            connection.executemany(_REMIND, self._memory_rows(rows.known))
            connection.executemany(_REMEMBER, self._memory_rows(rows.memory))
            for table, is_longer in (("request", rows.requests), ("event", rows.events)):
                if is_longer:
                    connection.execute(_TRIM.format(table=table), (self.max_rows,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite's own files beside it get the mode of this one.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.chmod(self._path, 0o600)
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._connection, self._inode = connection, os.stat(self._path).st_ino
        connection.execute("PRAGMA journal_mode = WAL")
        _make_tables(connection)
        self.memory()

    def _request_row(self, line: RequestLine) -> tuple[object, ...]:
        return (
            self._text(line.request_id, MAX_ID_LENGTH),
            line.model,
            line.unix_s,
            line.latency_s,
            line.fate,
            self._text(line.words, MAX_WORDS_LENGTH),
            self._text(line.tenant, MAX_ID_LENGTH),
            line.group,
            _finite(line.predicted_latency_s),
            _finite(line.slo_s),
            _finite(line.timeout_s),
            _finite(line.queue_s),
            line.num_tries,
            line.protocol,
        )

    def _event_row(self, row: EventRow) -> EventRow:
        unix_s, kind, group, model, words = row
        return unix_s, kind, group, model, self._text(words)

    def _memory_rows(self, memory: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        return ((key, self._text(document)) for key, document in memory.items())

    def _text(self, text: str, max_length: int | None = None) -> str:
        for secret in self._hidden:
            if secret in text:
                text = text.replace(secret, "(hidden)")
        # What is no Unicode (half of a pair, from JSON) cannot be written as it is.
        return (text if text.isascii() else text.encode(errors="replace").decode())[:max_length]


def _make_tables(connection: sqlite3.Connection) -> None:
    """Several processes may open a new file at once: one of them makes the tables."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise AnotherVersion(f"its schema has version {version}, this statmux has {SCHEMA_VERSION}")
        if version == 0:
            for statement in filter(str.strip, TABLES.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _is_lost(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, AnotherVersion) or code in _CORRUPT


def _put_aside(path: Path) -> Path:
    """The file and what SQLite has beside it, under the first free name."""
    number = next(
        number for number in range(1, 1_000_000) if not path.with_name(f"{path.name}.aside-{number}").exists()
    )
    aside = path.with_name(f"{path.name}.aside-{number}")
    for ending in ("", "-wal", "-shm"):
        found = path.with_name(path.name + ending)
        if found.exists():
            found.rename(aside.with_name(aside.name + ending))
    return aside


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None
