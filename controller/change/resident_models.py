"""Who makes models resident, as a front end that is asked to load and unload them sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Protocol

from controller.calls import Reason, Refusal
from vocabulary.errors import StatmuxError


class Residency(Protocol):
    """Brings models into memory and takes them out. Raises StatmuxError where that cannot be."""

    async def load(self, model: str) -> object: ...

    async def unload(self, model: str) -> object: ...


async def performed(changes: Iterable[Awaitable[object]]) -> Refusal | None:
    """One after the other; why one failed."""
    try:
        for change in changes:
            await change
    except StatmuxError as error:
        return Refusal(Reason.UNAVAILABLE, str(error))
    return None
