"""What a journal says, for people: read from its file, whether its fleet lives or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec

from controller.journal.lines import EventLine, RequestLine
from controller.journal.storage import COLUMNS, SCHEMA_VERSION
from vocabulary.errors import InvalidInput, RuntimeFailure

# Kinds of events that change what runs, or what should.
PLAN_KINDS = (
    "started", "plan", "apply", "replan", "autoscale", "on_demand", "drain", "undrain", "models", "devices",
    "no_plan", "group_given_up",
)  # fmt: skip
_BUSY_S = 2.0
_EVENT = 'SELECT unix_s, kind, "group", model, words FROM event'


@dataclass(frozen=True, slots=True)
class Unserved:
    """How many requests of a model had one fate. last_unix_s, words: of the last of them."""

    model: str
    fate: str
    num: int
    last_unix_s: float
    words: str


@final
class JournalFile:
    """Opened for each question. Raises InvalidInput where there is no such file, RuntimeFailure where it
    cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def request(self, request_id: str) -> RequestLine | None:
        """The last of that id."""
        asked = f"SELECT {COLUMNS} FROM request WHERE request_id = ? ORDER BY id DESC LIMIT 1"
        with self._open() as connection:
            row = connection.execute(asked, (request_id,)).fetchone()
        return None if row is None else RequestLine(*row)

    def recall(self, key: str) -> Any:
        """What was remembered last under the key; None if nothing was."""
        asked = "SELECT document FROM memory WHERE key = ?"
        with self._open() as connection:
            row = connection.execute(asked, (key,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def latest_requests(self, limit: int, *, model: str | None = None) -> tuple[RequestLine, ...]:
        """The last first. model: of this one."""
        asked = f"SELECT {COLUMNS} FROM request WHERE ? IS NULL OR model = ? ORDER BY id DESC LIMIT ?"
        with self._open() as connection:
            return tuple(RequestLine(*row) for row in connection.execute(asked, (model, model, limit)))

    def unserved(self, *, among: int, since_unix_s: float) -> tuple[Unserved, ...]:
        """Of the last `among` requests, those that came since then and were not served; the latest first."""
        return self._counted("model, fate", "fate != 'served'", among=among, since_unix_s=since_unix_s)

    def retried(self, *, among: int, since_unix_s: float) -> tuple[Unserved, ...]:
        """As above, but of those that were given to more than one group, by model alone."""
        return self._counted("model", "num_tries > 1", among=among, since_unix_s=since_unix_s)

    def _counted(self, by: str, which: str, *, among: int, since_unix_s: float) -> tuple[Unserved, ...]:
        # Columns beside one max() are those of the row that has it: so SQLite promises.
        asked = (
            "SELECT model, fate, count(*), unix_s, words, max(id) AS last_id FROM request "
            f"WHERE id > (SELECT max(id) FROM request) - ? AND unix_s >= ? AND {which} "
            f"GROUP BY {by} ORDER BY last_id DESC"
        )
        with self._open() as connection:
            return tuple(Unserved(*row[:-1]) for row in connection.execute(asked, (among, since_unix_s)))

    def span(self) -> tuple[float | None, float | None]:
        """When the first and the last of its requests arrived, as Unix time; None if there are none."""
        with self._open() as connection:
            asked = "SELECT unix_s FROM request WHERE id = (SELECT {}(id) FROM request)"
            first, last = (connection.execute(asked.format(end)).fetchone() for end in ("min", "max"))
        return (first[0] if first else None), (last[0] if last else None)

    def events(
        self,
        limit: int,
        *,
        group: str | None = None,
        model: str | None = None,
        kinds: Collection[str] = (),
        from_unix_s: float | None = None,
        to_unix_s: float | None = None,
    ) -> tuple[EventLine, ...]:
        """The last `limit` that fit, the last first. group, model: only those that are about it."""
        tests = {
            '"group" = ?': group,
            "model = ?": model,
            "unix_s >= ?": from_unix_s,
            "unix_s <= ?": to_unix_s,
        }
        tests = {test: value for test, value in tests.items() if value is not None}
        words = list(tests) + ([f"kind IN ({', '.join('?' * len(kinds))})"] if kinds else [])
        where = f" WHERE {' AND '.join(words)}" if words else ""
        given = (*tests.values(), *kinds, limit)
        with self._open() as connection:
            rows = connection.execute(f"{_EVENT}{where} ORDER BY id DESC LIMIT ?", given)
            return tuple(EventLine(*row[:4], msgspec.json.decode(row[4])) for row in rows)

    def plans(self, limit: int) -> tuple[EventLine, ...]:
        """What changed what runs, or what should run; the last first."""
        return self.events(limit, kinds=PLAN_KINDS)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            raise InvalidInput(
                f"there is no journal at {self._path}",
                hint="run this where `statmux serve` ran, or name the fleet with --fleet",
            )
        try:
            # Not read-only: the file of a fleet that was killed has a log that must be read in first.
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA query_only = ON")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != SCHEMA_VERSION:
                    raise RuntimeFailure(
                        f"the journal {self._path} has version {version}, not {SCHEMA_VERSION}",
                        hint="read it with the statmux that wrote it",
                    )
                yield connection
        except sqlite3.Error as error:
            raise RuntimeFailure(f"the journal {self._path} cannot be read: {error}") from error
