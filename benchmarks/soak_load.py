"""Mixed traffic for a soak: tensors over gRPC, answers that stream, and answers that are left half read."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np
import openai

from statmux.client import AsyncClient
from statmux.client.errors import ClientError
from vocabulary.errors import StatmuxError

# Nobody waits longer than this for one answer: what takes longer is counted as without a reply.
PATIENCE_S = 30.0


@dataclass(slots=True)
class Tally:
    """How calls ended: by kind of call, then by what came of it."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)

    def count(self, kind: str, end: str) -> None:
        self.ends[kind, end] += 1

    @property
    def num_without_reply(self) -> int:
        return sum(count for (_, end), count in self.ends.items() if end == "no reply")

    @property
    def total(self) -> int:
        return sum(self.ends.values())


async def load(
    grpc_address: str,
    http_address: str,
    tensors: Sequence[str],
    chats: Sequence[str],
    *,
    until: asyncio.Event,
    num_clients: int,
    tally: Tally,
    seed: int = 0,
) -> None:
    """Closed loops of clients, each asking a model drawn anew, until the event."""
    async with (
        AsyncClient(grpc_address) as client,
        openai.AsyncOpenAI(base_url=f"http://{http_address}/v1", api_key="none", max_retries=0) as remote,
    ):
        loops = []
        for number in range(num_clients):
            drawn = random.Random(f"{seed}-{number}")
            if chats and number % 4 == 3:
                loops.append(_chat(remote, chats, drawn, until, tally))
            else:
                loops.append(_infer(client, tensors, drawn, until, tally))
        await asyncio.gather(*loops)


async def _infer(
    client: AsyncClient, models: Sequence[str], drawn: random.Random, until: asyncio.Event, tally: Tally
) -> None:
    while not until.is_set():
        array = np.arange(drawn.randrange(1, 64), dtype=np.int32)
        try:
            answer = await client.infer(drawn.choice(models), {"INPUT0": array}, timeout_s=PATIENCE_S)
            end = "served" if np.array_equal(answer.outputs["OUTPUT0"], array) else "wrong"
        except ClientError as error:
            end = error.reason or type(error).__name__
            end = "no reply" if end == "DeadlineExceeded" else end
        except (StatmuxError, grpc.aio.AioRpcError) as error:
            end = type(error).__name__
        tally.count("infer", end)
        await asyncio.sleep(drawn.expovariate(20.0))


async def _chat(
    remote: openai.AsyncOpenAI,
    models: Sequence[str],
    drawn: random.Random,
    until: asyncio.Event,
    tally: Tally,
) -> None:
    while not until.is_set():
        leaves_after = drawn.randrange(1, 6) if drawn.random() < 0.25 else None
        try:
            async with asyncio.timeout(PATIENCE_S):
                end = await _read(remote, drawn.choice(models), drawn, leaves_after)
        except TimeoutError:
            end = "no reply"
        except openai.APIStatusError as error:
            body = error.body if isinstance(error.body, dict) else {}
            end = str(body.get("code") or error.status_code)
        except openai.APIError as error:
            end = str(getattr(error, "code", None) or type(error).__name__)
        tally.count("chat", end)
        await asyncio.sleep(drawn.expovariate(10.0))


async def _read(
    remote: openai.AsyncOpenAI, model: str, drawn: random.Random, leaves_after: int | None
) -> str:
    stream = await remote.completions.create(
        model=model,
        prompt=[drawn.randrange(200) for _ in range(drawn.randrange(1, 30))],
        max_tokens=drawn.randrange(2, 24),
        stream=True,
        extra_body={"ignore_eos": True},
    )
    num_read = 0
    async for _ in stream:
        num_read += 1
        if num_read == leaves_after:
            await stream.close()
            return "left"
    return "served"
