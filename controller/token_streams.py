"""Calls whose answer comes token by token, and the stream on which it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import final

import msgspec

from controller.calls import Refusal
from vocabulary.sampling import SampledToken, Sampling


class GenerateCall(msgspec.Struct, frozen=True):
    """One well-formed call of a model that generates.

    prompt_ids: at least one token, all within the vocabulary, and with max_tokens within the model's context.
    timeout_s, slo_s: as of InferCall; ttft_s, tpot_s: the client's own objectives, None the model's. tenant:
    whose call it is, for fair queueing. salt: who may share pages of the prompt's prefix, besides that.
    """

    request_id: str
    model: str
    prompt_ids: tuple[int, ...]
    max_tokens: int
    num_samples: int = 1
    sampling: Sampling = Sampling()
    timeout_s: float | None = None
    slo_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    tenant: str = ""
    salt: str = ""
    priority: int = 0
    protocol: str = "openai"


@dataclass(frozen=True, slots=True)
class Ended:
    """The whole answer is there.

    reasons: of each sample, STOP or LENGTH of `vocabulary.sampling`. group: who gave it. num_cached: tokens
    of the prompt that the cache of prefixes had; queue_s: until its first step began.
    """

    reasons: tuple[str, ...]
    group: str = ""
    num_cached: int = 0
    queue_s: float = 0.0


News = tuple[SampledToken, ...] | Ended | Refusal


@final
class TokenStream:
    """What comes of one call: tokens as each step draws them, then `Ended`, or a Refusal at any time.

    What is not read yet waits here: a slow reader slows nobody down, and the call's length bounds it.
    Iterate once. `cancel` when nobody wants more: the request is forgotten, its pages are free within a step.
    Leaving the iteration early cancels by itself (`async with`). `when_over` is called once, at the end.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._news: asyncio.Queue[News] = asyncio.Queue()
        self.is_over = False
        self.when_over: Callable[[], None] | None = None

    def put(self, news: News) -> None:
        """The fleet's side. Nothing follows Ended or a Refusal."""
        assert not self.is_over, news
        self.is_over = isinstance(news, Ended | Refusal)
        self._news.put_nowait(news)
        if self.is_over and self.when_over is not None:
            self.when_over()

    async def __aiter__(self) -> AsyncIterator[News]:
        while True:
            news = await self._news.get()
            yield news
            if isinstance(news, Ended | Refusal):
                return

    def cancel(self) -> None:
        """Idempotent; nothing happens after the end."""
        if not self.is_over:
            self._cancel()

    async def __aenter__(self) -> TokenStream:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.cancel()
