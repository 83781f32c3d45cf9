"""The trivial Fleet: answers every call with its own tensors. For tests, and a yardstick of the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import final

from controller.calls import InferCall, InferReply, ModelState, ModelStatistics, ModelView, Reason, Refusal
from controller.fleet import Pulse
from vocabulary.tensors import TensorSpec

_NO_REFUSALS: Mapping[str, Refusal] = {}


@final
class EchoFleet:
    """Models echo their inputs; those in `refusals` refuse, those in `stuck` never answer."""

    def __init__(
        self,
        views: Iterable[ModelView],
        *,
        refusals: Mapping[str, Refusal] = _NO_REFUSALS,
        stuck: frozenset[str] = frozenset(),
    ) -> None:
        self.changed = Pulse()
        self.is_draining = False
        self.in_flight: list[InferCall] = []
        self._views = {view.name: view for view in views}
        self._refusals = refusals
        self._stuck = stuck
        self._num_served = dict.fromkeys(self._views, 0)

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        future = asyncio.get_running_loop().create_future()
        if call.model in self._stuck:
            self.in_flight.append(call)
            future.add_done_callback(lambda _: self._settle(call))
            self.changed.beat()
        elif call.model in self._refusals:
            future.set_result(self._refusals[call.model])
        elif self._views[call.model].state is not ModelState.READY:
            future.set_result(Refusal(Reason.UNAVAILABLE, f"model {call.model!r} is not loaded"))
        else:
            self._num_served[call.model] += 1
            future.set_result(InferReply(call.tensors, group="echo"))
        return future

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        return None

    async def awaited(self, model: str) -> None:
        return

    def models(self) -> Mapping[str, ModelView]:
        return self._views

    def is_ready(self) -> bool:
        return not self.is_draining

    async def load(self, model: str) -> Refusal | None:
        self._become(model, ModelState.READY)
        return None

    async def unload(self, model: str) -> Refusal | None:
        self._become(model, ModelState.UNAVAILABLE)
        return None

    def statistics(self, model: str) -> ModelStatistics:
        return ModelStatistics(num_served=self._num_served[model], num_batches=self._num_served[model])

    def drain(self) -> None:
        """Not ready from now on."""
        self.is_draining = True
        self.changed.beat()

    def _become(self, model: str, state: ModelState) -> None:
        self._views[model] = replace(self._views[model], state=state)
        self.changed.beat()

    def _settle(self, call: InferCall) -> None:
        self.in_flight.remove(call)
        self.changed.beat()


def echo_view(name: str, *specs: TensorSpec) -> ModelView:
    """A model whose outputs are its inputs."""
    return ModelView(name, inputs=specs, outputs=specs)
