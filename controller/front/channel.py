"""One end of the socket between the fleet's process and a front end: words of msgpack with their length."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from typing import Generic, TypeVar, final

import msgspec

from controller.front.words import FromFront, ToFront

_LENGTH = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
Heard = TypeVar("Heard")


@final
class Channel(Generic[Heard]):
    """Words arrive in order. The other end's death is the end of `words`; what is sent then goes nowhere."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: msgspec.msgpack.Decoder
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    def send(self, word: msgspec.Struct) -> None:
        if not self._writer.is_closing():
            encoded = _encode(word)
            self._writer.write(_LENGTH.pack(len(encoded)) + encoded)

    async def words(self) -> AsyncIterator[Heard]:
        """Until the other end is gone."""
        while True:
            try:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                yield self._decoder.decode(await self._reader.readexactly(length))
            except (asyncio.IncompleteReadError, ConnectionError):
                return

    async def flushed(self) -> None:
        """What was sent has left."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    def end(self) -> None:
        """Nothing more is said here; the other end may have last words."""
        if not self._writer.is_closing() and self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()


async def fleets_end(mine: socket.socket) -> Channel[FromFront]:
    """That of the fleet's process."""
    return Channel(*await asyncio.open_unix_connection(sock=mine), msgspec.msgpack.Decoder(FromFront))


async def fronts_end(mine: socket.socket) -> Channel[ToFront]:
    """That of the front end."""
    return Channel(*await asyncio.open_unix_connection(sock=mine), msgspec.msgpack.Decoder(ToFront))
