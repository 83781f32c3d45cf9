"""Makes the live document when somebody looks: at most so often, counted and read on a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, final

from controller.front.words import Totals
from controller.journal.read import JournalFile
from controller.life.members import Members
from controller.live.counts import counts_of
from controller.live.decisions import decisions_of
from controller.live.document import Now, document_of
from controller.live.places import Places
from controller.metrics import FleetMetrics
from vocabulary.deployment import Deployment
from vocabulary.placement import Group

# However many look, it is made once in so long.
MIN_AGE_S = 1.0

Status = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Further = Callable[[str], Totals]


@final
class LiveView:
    """One fleet's. `look` is a verb: its answer is the document."""

    def __init__(
        self,
        status: Status,
        *,
        deployment: Callable[[], Deployment],
        members: Members,
        metrics: FleetMetrics,
        elsewhere: Further,
        journal: Path,
    ) -> None:
        """deployment: as it is served now. elsewhere: what further front ends have answered of a model."""
        self._status = status
        self._deployment = deployment
        self._members = members
        self._metrics = metrics
        self._elsewhere = elsewhere
        self._journal = JournalFile(journal)
        self._places = Places()
        self._version = version("statmux")
        self._started_unix_s = time.time()
        self._made_s = -MIN_AGE_S
        self._making: asyncio.Task[Mapping[str, Any]] | None = None

    async def look(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Who comes while it is made, or soon after, gets the same."""
        now_s = time.monotonic()
        is_old = self._making is None or (self._making.done() and now_s - self._made_s >= MIN_AGE_S)
        if is_old or self._making is None:
            self._made_s = now_s
            self._making = asyncio.create_task(self._make())
        # One who goes away does not end it for the others.
        return await asyncio.shield(self._making)

    async def _make(self) -> Mapping[str, Any]:
        """What the loop owns is read on the loop; the rest takes milliseconds, on a thread."""
        status, deployment = await self._status({}), self._deployment()
        names = deployment.model_names
        now = Now(
            time.time(),
            self._started_unix_s,
            self._version,
            {name: self._metrics.judged(name) for name in names},
            {name: self._elsewhere(name) for name in names},
        )
        groups = tuple(member.group for member in self._members)
        return await asyncio.to_thread(self._put_together, status, deployment, groups, now)

    def _put_together(
        self, status: Mapping[str, Any], deployment: Deployment, groups: tuple[Group, ...], now: Now
    ) -> Mapping[str, Any]:
        return document_of(
            status,
            deployment,
            counts_of(self._metrics.registry),
            now=now,
            nodes=self._places.of(deployment, groups),
            decisions=decisions_of(self._journal, since_unix_s=now.started_unix_s),
        )
