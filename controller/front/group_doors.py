"""A front end's own links to the workers: opened as it is told, and again where only they broke."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import final

import structlog

from controller.front.words import OpenGroup
from controller.life.links import open_link
from controller.on_ray.nouns import StartedGroup
from controller.server import FleetServer
from vocabulary.errors import RuntimeFailure
from workers.engine import ModelInterface
from workers.frames import Frame, Gone
from workers.link import SocketLink
from workers.spec import Address

# Between two tries of a worker that did not answer; the fleet's process says when it is lost for good.
RETRY_S = 0.5
_log = structlog.get_logger("statmux.front")


@dataclass(slots=True)
class _Door:
    """An open group. closed: models of it that take no requests. link: None while there is none."""

    index: int
    address: Address
    interfaces: dict[str, ModelInterface]
    closed: set[str]
    link: SocketLink | None = None
    retry: asyncio.Task[None] | None = None


@final
class GroupDoors:
    """One link for each open group. All methods run on one event loop."""

    def __init__(self, server: FleetServer, *, key: str, front: int) -> None:
        self._server = server
        self._key = key
        self._front = front
        self._doors: dict[int, _Door] = {}

    async def open(self, word: OpenGroup) -> None:
        """Connect, and let the group take requests; where that fails, try again until told otherwise."""
        self.forget(word.group_index)
        door = _Door(word.group_index, word.address, dict(word.interfaces), set(word.closed))
        self._doors[word.group_index] = door
        await self._connect(door)

    def opened(self, group_index: int, model: str, interface: ModelInterface) -> None:
        """A model of the group takes requests, also over a link that is still to come."""
        if (door := self._doors.get(group_index)) is not None:
            door.interfaces[model] = interface
            door.closed.discard(model)

    def closed(self, group_index: int, model: str) -> None:
        """A model of the group takes no requests, also over a link that is still to come."""
        if (door := self._doors.get(group_index)) is not None:
            door.closed.add(model)

    def forget(self, group_index: int) -> None:
        """The group is lost, or gone."""
        door = self._doors.pop(group_index, None)
        if door is None:
            return
        if door.retry is not None:
            door.retry.cancel()
        if door.link is not None:
            door.link.close()

    def close(self) -> None:
        for group_index in tuple(self._doors):
            self.forget(group_index)

    async def _connect(self, door: _Door) -> None:
        group = self._server.groups[door.index]

        def lost(why: str) -> None:
            self._lose(door, why)

        def receive(frame: Frame) -> None:
            if isinstance(frame.header, Gone):
                lost(frame.header.why)
            elif door.link is not None:
                self._server.receive(door.index, frame)

        started = StartedGroup(group.id, "", "", 0, door.address, door.interfaces, group)
        try:
            link = await open_link(started, receive, lost, key=self._key, front=self._front)
        except RuntimeFailure as error:
            _log.warning("a group does not answer", group=group.id, why=str(error))
            self._try_again(door)
            return
        if self._doors.get(door.index) is not door:  # forgotten meanwhile
            link.close()
        elif not link.is_open:
            self._try_again(door)
        else:
            door.link = link
            self._server.open_group(door.index, link, door.interfaces)
            for model in door.closed:
                self._server.close_replica(door.index, model)

    def _lose(self, door: _Door, why: str) -> None:
        if door.link is None or self._doors.get(door.index) is not door:
            return
        door.link.close()
        door.link = None
        self._server.lose_group(door.index, why)
        self._try_again(door)

    def _try_again(self, door: _Door) -> None:
        """The worker may live: then only the link broke."""
        if self._doors.get(door.index) is door:
            door.retry = asyncio.get_running_loop().create_task(self._retry(door))

    async def _retry(self, door: _Door) -> None:
        await asyncio.sleep(RETRY_S)
        await self._connect(door)
