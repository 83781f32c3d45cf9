"""The answer to a call as text: pieces as tokens come, then how it ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import final

from controller.calls import Refusal
from controller.text.calls import TextCall
from controller.text.codec import TextCodec
from controller.text.sample import SampleText
from controller.token_streams import Ended, GenerateCall, News, TokenStream
from vocabulary.sampling import STOP, SampledToken


@dataclass(frozen=True, slots=True)
class TextPiece:
    """A part of one sample. tokens: those since its last piece. finish: STOP or LENGTH on its last piece.

    Without a tokenizer text is always empty.
    """

    sample: int
    text: str
    tokens: tuple[SampledToken, ...] = ()
    finish: str | None = None


@dataclass(frozen=True, slots=True)
class TextEnded:
    """The whole answer is there. num_tokens: sampled, of all samples; the rest is as of `Ended`.

    Of an answer that we ended at a stop string, group, num_cached and queue_s are not known.
    """

    num_tokens: int
    group: str = ""
    num_cached: int = 0
    queue_s: float = 0.0


TextNews = TextPiece | TextEnded | Refusal


@final
class TextAnswer:
    """Iterate once: pieces of text, then `TextEnded`, or a Refusal at any time.

    Use it with `async with`: leaving early cancels the request, so its pages are free within a step. When
    all samples are over and some met a stop string, the request is cancelled too.
    """

    def __init__(
        self,
        stream: TokenStream,
        call: TextCall,
        asked: GenerateCall,
        *,
        codec: TextCodec | None,
        eos_ids: tuple[int, ...],
    ) -> None:
        self.asked = asked
        self.codec = codec
        self._stream = stream
        stop_ids = frozenset(asked.sampling.stop_token_ids)
        if not asked.sampling.ignores_eos:
            stop_ids |= frozenset(eos_ids)
        # Tokens that end a sample and are not in its text.
        self.silent_ids = frozenset() if call.includes_stop else stop_ids
        self._samples = [SampleText(call, asked, codec, stop_ids=stop_ids) for _ in range(asked.num_samples)]
        self._is_cancelled = False

    async def __aenter__(self) -> TextAnswer:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._cancel()

    def refuse(self, refusal: Refusal) -> None:
        """End it from outside: after what has come, `refusal`; the request is cancelled."""
        if not self._stream.is_over:
            self._cancel()
            self._stream.put(refusal)

    async def __aiter__(self) -> AsyncIterator[TextNews]:
        async for news in self._stream:
            for told in self._told(news):
                yield told
            if isinstance(news, tuple) and self._is_stopped():
                self._cancel()
                yield TextEnded(self._num_tokens())
                return

    def _cancel(self) -> None:
        if not self._is_cancelled:
            self._is_cancelled = True
            self._stream.cancel()

    def _told(self, news: News) -> Iterator[TextNews]:
        match news:
            case Refusal():
                yield news
            case Ended(reasons, group, num_cached, queue_s):
                for index, sample in enumerate(self._samples):
                    if sample.finish is None:
                        yield TextPiece(index, *sample.end(reasons[index] if index < len(reasons) else STOP))
                yield TextEnded(self._num_tokens(), group, num_cached, queue_s)
            case _:
                for token in news:
                    sample = self._samples[token.sample]
                    if sample.finish is None and (spoken := sample.push(token)) is not None:
                        yield TextPiece(token.sample, *spoken)

    def _is_stopped(self) -> bool:
        """Nothing more can come that anybody wants, but the fleet does not know it."""
        return all(sample.finish for sample in self._samples) and any(
            sample.met_stop_string for sample in self._samples
        )

    def _num_tokens(self) -> int:
        return sum(sample.num_tokens for sample in self._samples)


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An answer that nobody wanted in pieces: one TextPiece a sample, in order, and how it ended."""

    samples: tuple[TextPiece, ...]
    ended: TextEnded


async def whole_answer(answer: TextAnswer) -> WholeAnswer | Refusal:
    """Wait for all of it. Cancelled, it cancels the request."""
    pieces: list[list[TextPiece]] = [[] for _ in range(answer.asked.num_samples)]
    async with answer:
        async for news in answer:
            match news:
                case TextPiece():
                    pieces[news.sample].append(news)
                case TextEnded():
                    return WholeAnswer(tuple(map(joined, pieces)), news)
                case Refusal():
                    return news
    raise AssertionError("an answer ends with TextEnded or a Refusal")


def joined(pieces: Sequence[TextPiece]) -> TextPiece:
    """All pieces of one sample as one."""
    return TextPiece(
        pieces[0].sample,
        "".join(piece.text for piece in pieces),
        tuple(token for piece in pieces for token in piece.tokens),
        pieces[-1].finish,
    )
