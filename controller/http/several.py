"""Answers to the prompts of one request, read as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from controller.http.endpoint import Front
from controller.text import TextAnswer, TextCall
from controller.text.answers import TextNews


@asynccontextmanager
async def started(front: Front, calls: Iterable[TextCall]) -> AsyncIterator[list[TextAnswer]]:
    """An answer for each call, all cancelled at the end. Raises Refused if one of the calls is refused."""
    async with AsyncExitStack() as stack:
        answers = []
        for call in calls:
            answer = await stack.enter_async_context(await front.text.start(call))
            stack.enter_context(front.open_answers.holding(answer))
            answers.append(answer)
        yield answers


async def merged(answers: Sequence[TextAnswer]) -> AsyncIterator[tuple[int, TextNews]]:
    """News of every answer with its place in `answers`, each answer's in order. Close it (`aclosing`)."""
    if len(answers) == 1:
        async for news in answers[0]:
            yield 0, news
        return
    arrived: asyncio.Queue[tuple[int, TextNews] | None] = asyncio.Queue()
    readers = [asyncio.create_task(_read(index, answer, arrived)) for index, answer in enumerate(answers)]
    try:
        num_open = len(readers)
        while num_open:
            item = await arrived.get()
            if item is None:
                num_open -= 1
            else:
                yield item
        await asyncio.gather(*readers)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(index: int, answer: TextAnswer, arrived: asyncio.Queue[tuple[int, TextNews] | None]) -> None:
    try:
        async for news in answer:
            arrived.put_nowait((index, news))
    finally:
        arrived.put_nowait(None)
