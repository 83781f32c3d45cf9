"""A front end's end of a link to a worker host, over its real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np

from vocabulary.numpy_tensors import tensor_of
from vocabulary.sampling import GREEDY
from vocabulary.tensors import Tensor
from vocabulary.units import NEVER_S
from workers.frames import AtWork, Done, Frame, GenerationAsk, Hello, Run, tensor_headers
from workers.link import SocketLink
from workers.spec import Address

INPUT = (Tensor("INPUT0", "INT32", (1,), b"\x05\x00\x00\x00"),)
PATIENCE_S = 60.0
H = TypeVar("H", bound=msgspec.Struct)


@dataclass
class Visit:
    """The link, and all that it has heard in order: frames, or in words why it is lost."""

    link: SocketLink
    heard: asyncio.Queue[Frame | str]

    async def next_of(self, kind: type[H]) -> H:
        """The next frame of a kind; others are passed over."""
        return (await self.next_frame(kind)).header

    async def next_frame(self, kind: type[H]) -> Frame:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                frame = await self.heard.get()
                assert isinstance(frame, Frame), frame
                if isinstance(frame.header, kind):
                    return frame

    async def loss(self) -> str:
        """Why the link is lost, once it is."""
        async with asyncio.timeout(PATIENCE_S):
            while isinstance(found := await self.heard.get(), Frame):
                pass
        return found

    def ask(self, request_id: int, model: str = "m", inputs: tuple[Tensor, ...] = INPUT) -> None:
        now_s = asyncio.get_running_loop().time()
        self.link.send(Run(request_id, model, now_s, NEVER_S, NEVER_S, tensor_headers(inputs)), inputs)
        self.link.flush()

    async def answer(self, request_id: int, model: str = "m", inputs: tuple[Tensor, ...] = INPUT) -> Frame:
        """Asks, and waits for its last frame."""
        self.ask(request_id, model, inputs)
        frame = await self.next_frame(Done)
        assert frame.header.request_id == request_id, frame
        return frame

    async def begun(self) -> tuple[int, ...]:
        return (await self.next_of(AtWork)).request_ids


@asynccontextmanager
async def visit(address: Address, key: str, *, front: int = 0) -> AsyncIterator[Visit]:
    loop = asyncio.get_running_loop()
    heard: asyncio.Queue[Frame | str] = asyncio.Queue()

    def link() -> SocketLink:
        return SocketLink(heard.put_nowait, heard.put_nowait)

    if address.socket_path:
        _, made = await loop.create_unix_connection(link, address.socket_path)
    else:
        _, made = await loop.create_connection(link, address.host, address.port)
    made.send(Hello(key, loop.time(), front))
    made.flush()
    try:
        yield Visit(made, heard)
    finally:
        made.close()


def generate(visitor: Visit, request_id: int, prompt: list[int], *, num_tokens: int) -> None:
    """Asks `chat` for an answer token by token, greedily."""
    ask = GenerationAsk(num_tokens, 0, 1, GREEDY, NEVER_S, NEVER_S, "", None, ())
    inputs = (tensor_of("input_ids", np.asarray(prompt, np.int32)),)
    now_s = asyncio.get_running_loop().time()
    visitor.link.send(Run(request_id, "chat", now_s, NEVER_S, NEVER_S, tensor_headers(inputs), ask), inputs)
    visitor.link.flush()
