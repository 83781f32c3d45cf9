"""Answers that are being given, so that a server which stops can end them in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from controller.calls import Refusal
from controller.text import TextAnswer


@final
class OpenAnswers:
    """One event loop only."""

    def __init__(self) -> None:
        self.is_closing = False
        self._open: set[TextAnswer] = set()

    @contextmanager
    def holding(self, answer: TextAnswer) -> Iterator[None]:
        """While somebody reads the answer."""
        self._open.add(answer)
        try:
            yield
        finally:
            self._open.discard(answer)

    def refuse_all(self, refusal: Refusal) -> None:
        """End every one of them."""
        for answer in tuple(self._open):
            answer.refuse(refusal)
