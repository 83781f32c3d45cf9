"""A place where processes leave short words for each other under a key: Ray's, in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, final


class Rendezvous(Protocol):
    """For any thread. What it raises ends the channel that asked."""

    def put(self, key: str, value: bytes) -> None:
        """From when this returns on, all others find it."""

    def get(self, key: str) -> bytes | None: ...

    def drop(self, key: str) -> None:
        """Nobody needs it any more; nothing happens if it is gone."""


@final
class LocalRendezvous:
    """Between transports of one process."""

    def __init__(self) -> None:
        self._words: dict[str, bytes] = {}

    def put(self, key: str, value: bytes) -> None:
        self._words[key] = value

    def get(self, key: str) -> bytes | None:
        return self._words.get(key)

    def drop(self, key: str) -> None:
        self._words.pop(key, None)


@final
class FolderRendezvous:
    """Words are files: between processes that see the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, value: bytes) -> None:
        draft = self._path(key).with_suffix(".draft")
        draft.write_bytes(value)
        draft.rename(self._path(key))

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        return path.read_bytes() if path.exists() else None

    def drop(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"word-{key.replace('/', '-')}"
