"""The token books of all models of a group that generate, and what a step is in the engine's words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import final

from vocabulary.messages import Batch
from workers.engine import BatchResult, Prompt
from workers.generation.host_step import Drawn, HostStep
from workers.generation.token_book import TokenBook
from workers.work_times import StageTimes


@final
class TokenBooks:
    """Not for several threads: all on the server's loop."""

    def __init__(self, books: Mapping[str, TokenBook]) -> None:
        self._books = dict(books)
        self._model_of: dict[int, str] = {}

    def add(self, books: Mapping[str, TokenBook]) -> None:
        """Of further models. From any thread, as long as nobody asks for these models."""
        self._books.update(books)

    def remove(self, models: Collection[str]) -> None:
        """Of models that generate no more, if they did."""
        for model in models:
            self._books.pop(model, None)

    def admit(self, prompt: Prompt) -> None:
        self._model_of[prompt.request_id] = prompt.model
        self._books[prompt.model].admit(prompt)

    def forget(self, request_id: int) -> None:
        """Nothing happens for requests that are not here."""
        model = self._model_of.pop(request_id, None)
        if model is not None:
            self._books[model].forget(request_id)

    def step(self, batch: Batch) -> HostStep:
        """What the batch computes."""
        return self._books[batch.model].step(batch)

    def result(self, batch: Batch, drawn: Drawn, finish_s: float, times: StageTimes = ()) -> BatchResult:
        """What came of it."""
        news = self._books[batch.model].absorb(batch, drawn)
        return BatchResult(
            batch.id,
            finish_s,
            tokens=news.tokens,
            stopped=news.stopped,
            full_pages=news.full_pages,
            times=times,
        )
