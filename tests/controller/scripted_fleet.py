"""A fleet that generates what a script says, and lets a test hold an answer open and give it by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

from controller.calls import (
    GenerationView,
    InferCall,
    InferReply,
    ModelState,
    ModelStatistics,
    ModelView,
    Reason,
    Refusal,
)
from controller.fleet import Pulse
from controller.token_streams import Ended, GenerateCall, News, TokenStream
from vocabulary.sampling import LENGTH, SampledToken
from vocabulary.tensors import TensorSpec

TIMEOUT_S = 10.0
# What is said to a call, piece by piece. The last is Ended or a Refusal; without one the answer stays open.
Script = Callable[[GenerateCall], Iterable[News]]


@dataclass(frozen=True, slots=True)
class OpenAnswer:
    """An answer that a test gives by hand."""

    call: GenerateCall
    stream: TokenStream

    def say(self, *tokens: int, sample: int = 0) -> None:
        """One step's tokens of one sample."""
        self.stream.put(tuple(SampledToken(0, sample, token) for token in tokens))

    def end(self, *reasons: str) -> None:
        """`reasons`: of each sample, LENGTH unless given."""
        self.stream.put(Ended(reasons or (LENGTH,) * self.call.num_samples, "g0"))


def echoed(call: InferCall) -> InferReply:
    """Its inputs are its outputs."""
    return InferReply(call.tensors, group="g0")


@final
class ScriptedFleet:
    """`scripts`: by model. Calls of a model without one stay in `open` until the test ends them.

    replies: of one-shot models, which echo their inputs unless told otherwise.
    calls: all that came, in order; cancelled: those whose clients left. `changed` beats with every change of
    these.
    """

    def __init__(
        self,
        views: Iterable[ModelView],
        *,
        scripts: Mapping[str, Script],
        replies: Callable[[InferCall], InferReply | Refusal] = echoed,
    ) -> None:
        self.changed = Pulse()
        self.calls: list[GenerateCall] = []
        self.one_shot: list[InferCall] = []
        self.open: list[OpenAnswer] = []
        self.cancelled: list[GenerateCall] = []
        self.turned_down: list[tuple[str, Refusal]] = []
        self.is_draining = False
        self._views = {view.name: view for view in views}
        self._scripts = scripts
        self._replies = replies

    def generate(self, call: GenerateCall) -> TokenStream:
        stream = TokenStream(lambda: self._cancel(call))
        self.calls.append(call)
        script = self._scripts.get(call.model)
        for news in script(call) if script else ():
            stream.put(news)
        if not stream.is_over:
            self._hold(OpenAnswer(call, stream))
        self.changed.beat()
        return stream

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        future = asyncio.get_running_loop().create_future()
        self.one_shot.append(call)
        future.set_result(self._replies(call))
        return future

    async def opened(self, count: int = 1) -> OpenAnswer:
        """Once so many answers are open: the latest of them."""
        await self.until(lambda: len(self.open) >= count)
        return self.open[-1]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return as soon as `holds()`, looking again at every change."""
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():
                await self.changed.wait()

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        self.turned_down.append((model, refusal))

    async def awaited(self, model: str) -> None:
        return

    def models(self) -> Mapping[str, ModelView]:
        return self._views

    def is_ready(self) -> bool:
        return not self.is_draining

    async def load(self, model: str) -> Refusal | None:
        return None

    async def unload(self, model: str) -> Refusal | None:
        return Refusal(Reason.UNSUPPORTED, "it stays")

    def statistics(self, model: str) -> ModelStatistics:
        return ModelStatistics(num_served=len(self.calls))

    def _hold(self, answer: OpenAnswer) -> None:
        """Until its client's time is up."""
        self.open.append(answer)
        if answer.call.timeout_s is not None:
            asyncio.get_running_loop().call_later(answer.call.timeout_s, self._late, answer)

    def _late(self, answer: OpenAnswer) -> None:
        if not answer.stream.is_over and answer in self.open:
            answer.stream.put(Refusal(Reason.DEADLINE_EXCEEDED, "the request's deadline passed"))
            self._cancel(answer.call)

    def _cancel(self, call: GenerateCall) -> None:
        self.cancelled.append(call)
        self.open = [answer for answer in self.open if answer.call is not call]
        self.changed.beat()


def saying(*tokens: int, reason: str = LENGTH) -> Script:
    """Every answer is these tokens, one a step, for every sample."""

    def script(call: GenerateCall) -> Iterable[News]:
        for token in tokens[: call.max_tokens]:
            yield tuple(SampledToken(0, sample, token) for sample in range(call.num_samples))
        yield Ended((reason,) * call.num_samples, "g0")

    return script


def refusing(refusal: Refusal) -> Script:
    """Every call is refused."""
    return lambda call: (refusal,)


def generating_view(
    name: str, *, vocab_size: int = 256, max_model_len: int = 64, eos_ids: tuple[int, ...] = ()
) -> ModelView:
    """A model that generates, as the board shows it."""
    return ModelView(
        name,
        inputs=(TensorSpec("input_ids", "INT32", (-1,)),),
        outputs=(TensorSpec("output_ids", "INT32", (-1,)),),
        state=ModelState.READY,
        generation=GenerationView(max_model_len, vocab_size, eos_ids),
    )
