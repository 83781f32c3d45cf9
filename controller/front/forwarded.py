"""What a front end does not decide by itself: asked of the fleet's process, over its control socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

from controller.calls import InferCall, InferReply, ModelStatistics, ModelView, Reason, Refusal
from controller.fleet import Fleet, Pulse
from controller.http.admin import CHANGING, LOOKING, OF_MODELS
from controller.journal import AbstractJournal, NoJournal, RequestLine
from controller.live.routes import VERB as LIVE
from controller.token_streams import GenerateCall, TokenStream
from controller.verbs.control import Verb, ask
from vocabulary.deployment import Deployment
from vocabulary.errors import RuntimeFailure, StatmuxError

# A model loads as long as its weights take.
_TIMEOUT_S = 900.0
# Lines that wait for the next pulse; more are not kept.
_MAX_LINES = 50_000


@final
class ForwardedVerbs(Mapping[str, Verb]):
    """The verbs of the fleet's control socket, asked from here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = (*LOOKING, *CHANGING, *OF_MODELS, LIVE)

    def __getitem__(self, name: str) -> Verb:
        if name not in self._names:
            raise KeyError(name)

        async def answer(words: Mapping[str, Any]) -> Mapping[str, Any]:
            return await self.asked(name, words)

        return answer

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    async def asked(self, name: str, words: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its answer. Raises StatmuxError: its own words, or that nobody answers."""
        words = {key: value for key, value in words.items() if key != "verb"}
        answer = await asyncio.to_thread(ask, self._path, name, timeout_s=_TIMEOUT_S, **words)
        if "error" in answer:
            raise RuntimeFailure(str(answer["error"]), hint=str(answer.get("hint", "")))
        return answer


@final
class ForwardingFleet:
    """Implements `controller.fleet.Fleet`: calls are answered here, changes are the fleet's."""

    def __init__(self, fleet: Fleet, verbs: ForwardedVerbs) -> None:
        self._fleet = fleet
        self._verbs = verbs

    @property
    def changed(self) -> Pulse:
        return self._fleet.changed

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        return self._fleet.infer(call)

    def generate(self, call: GenerateCall) -> TokenStream:
        return self._fleet.generate(call)

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        self._fleet.turned_away(model, refusal, protocol=protocol, call_id=call_id)

    async def awaited(self, model: str) -> None:
        await self._fleet.awaited(model)

    def models(self) -> Mapping[str, ModelView]:
        return self._fleet.models()

    def is_ready(self) -> bool:
        return self._fleet.is_ready()

    async def load(self, model: str) -> Refusal | None:
        return await self._changed("load", model)

    async def unload(self, model: str) -> Refusal | None:
        return await self._changed("unload", model)

    def statistics(self, model: str) -> ModelStatistics:
        return self._fleet.statistics(model)

    async def _changed(self, verb: str, model: str) -> Refusal | None:
        try:
            await self._verbs.asked(verb, {"model": model})
        except StatmuxError as error:
            return Refusal(Reason.UNAVAILABLE, str(error))
        return None


@final
class ForwardedDemand:
    """Implements `controller.waiting_room.Demand`: the fleet's process is told, and loads."""

    def __init__(self, deployment: Deployment, tell: Callable[[str], None]) -> None:
        self.deployment = deployment
        self._tell = tell

    def asked(self, model: str) -> float | None:
        spec = next((one for one in self.deployment.models if one.name == model), None)
        if spec is None or not spec.on_demand.is_enabled:
            return None
        self._tell(model)
        return spec.on_demand.max_load_s


@final
class ForwardedJournal(AbstractJournal):
    """Keeps lines of requests until they are taken, to be written by the fleet's process."""

    def __init__(self) -> None:
        self._lines: deque[RequestLine] = deque(maxlen=_MAX_LINES)
        self._num_lost = 0
        self._nothing = NoJournal()

    @property
    def problem(self) -> str:
        return ""

    @property
    def num_lost(self) -> int:
        return self._num_lost

    def request(self, line: RequestLine) -> None:
        self._num_lost += len(self._lines) == _MAX_LINES
        self._lines.append(line)

    def taken(self) -> tuple[RequestLine, ...]:
        """All since the last time."""
        lines = tuple(self._lines)
        self._lines.clear()
        return lines

    def event(self, kind: str, *, group: str = "", model: str = "", **words: object) -> None:
        return

    def remember(self, key: str, document: object) -> Future[bool]:
        return self._nothing.remember(key, document)

    def recall(self, key: str) -> Any:
        return self._nothing.recall(key)

    def keep(self, *, requests: str, max_rows: int) -> None:
        """The fleet's process decides what of it is kept."""

    def close(self) -> None:
        return
