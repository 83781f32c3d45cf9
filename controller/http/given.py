"""What has come of a request's answers so far: their usage, and the whole of them at the end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from controller.calls import Refusal
from controller.http.several import merged
from controller.text import TextAnswer, TextEnded, TextPiece
from controller.text.answers import joined
from controller.text.refused import by_fleet


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request, in OpenAI's words."""

    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0

    def plus(self, ended: TextEnded) -> Usage:
        """With one more answer."""
        return Usage(
            self.prompt_tokens,
            self.completion_tokens + ended.num_tokens,
            self.cached_tokens + ended.num_cached,
        )

    @property
    def body(self) -> dict[str, object]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


@dataclass(frozen=True, slots=True)
class Given:
    """All samples of all answers: samples[answer][sample]."""

    samples: tuple[tuple[TextPiece, ...], ...]
    usage: Usage


def usage_of(answers: Sequence[TextAnswer]) -> Usage:
    """Before any token has come."""
    return Usage(sum(len(answer.asked.prompt_ids) for answer in answers))


async def given(answers: Sequence[TextAnswer]) -> Given:
    """Wait for all of them. Raises Refused if one is refused."""
    pieces: list[list[list[TextPiece]]] = [[[] for _ in range(one.asked.num_samples)] for one in answers]
    usage = usage_of(answers)
    async with aclosing(merged(answers)) as arriving:
        async for index, news in arriving:
            match news:
                case TextPiece():
                    pieces[index][news.sample].append(news)
                case TextEnded():
                    usage = usage.plus(news)
                case Refusal():
                    raise by_fleet(news)
    return Given(tuple(tuple(map(joined, samples)) for samples in pieces), usage)
