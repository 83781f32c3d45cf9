"""One sample of an answer: its tokens become text, until a token, a string or the length ends it."""

from __future__ import annotations

from typing import NamedTuple, final

from controller.text.calls import TextCall
from controller.text.codec import TextCodec
from controller.text.detokenizer import Detokenizer
from controller.text.stop_strings import StopScanner
from controller.token_streams import GenerateCall
from vocabulary.sampling import LENGTH, STOP, SampledToken


class Spoken(NamedTuple):
    """What can be told: text, the tokens since what was told before, and STOP or LENGTH if it is the last."""

    text: str
    tokens: tuple[SampledToken, ...]
    finish: str | None


@final
class SampleText:
    """Push tokens until `finish` says why there are no more."""

    def __init__(
        self, call: TextCall, asked: GenerateCall, codec: TextCodec | None, *, stop_ids: frozenset[int]
    ) -> None:
        self.finish: str | None = None
        self.met_stop_string = False
        self.num_tokens = 0
        self._call = call
        self._stop_ids = stop_ids
        self._max_tokens = asked.max_tokens
        self._words = None if codec is None else _words(call, asked, codec)
        self._stops = StopScanner(call.stop, includes_stop=call.includes_stop)
        self._untold: list[SampledToken] = []

    def push(self, token: SampledToken) -> Spoken | None:
        """None: nothing to tell yet."""
        self.num_tokens += 1
        self._untold.append(token)
        text = self._text_of(token.token)
        if self.met_stop_string:
            return self._last(text, STOP)
        if token.token in self._stop_ids:
            return self._last(text + self._rest(), STOP)
        if self.num_tokens >= self._max_tokens:
            return self._last(text + self._rest(), STOP if self.met_stop_string else LENGTH)
        return self._spoken(text, None) if text or self._words is None else None

    def end(self, finish: str) -> Spoken:
        """The fleet says that it is over, and why."""
        text = self._rest()
        return self._last(text, STOP if self.met_stop_string else finish)

    def _text_of(self, token_id: int) -> str:
        is_told = token_id not in self._stop_ids or self._call.includes_stop
        return self._scan(self._words.push(token_id)) if self._words is not None and is_told else ""

    def _rest(self) -> str:
        if self._words is None:
            return ""
        text = self._scan(self._words.finish())
        return text + self._stops.finish()

    def _scan(self, text: str) -> str:
        scanned = self._stops.push(text)
        self.met_stop_string = scanned.is_stopped
        return scanned.text

    def _last(self, text: str, finish: str) -> Spoken:
        self.finish = finish
        return self._spoken(text, finish)

    def _spoken(self, text: str, finish: str | None) -> Spoken:
        tokens, self._untold = tuple(self._untold), []
        return Spoken(text, tokens, finish)


def _words(call: TextCall, asked: GenerateCall, codec: TextCodec) -> Detokenizer:
    after = asked.prompt_ids if call.goes_on else ()
    return Detokenizer(codec, after=after, skips_special=call.skips_special)
