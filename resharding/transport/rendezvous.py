"""A place where processes leave short words for each other under a key: Ray's, in a cluster."""

from __future__ import annotations

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
