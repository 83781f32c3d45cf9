"""The fleet as the holder of one token sees it: its models, its wishes, its places, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import final

from msgspec.structs import replace

from controller.calls import InferCall, InferReply, ModelStatistics, ModelView, Reason, Refusal
from controller.fleet import Fleet, Pulse
from controller.security.rights import Rights
from controller.token_streams import GenerateCall, TokenStream
from vocabulary.security import NO_CLAMP


@final
class TenantPlaces:
    """How many requests each tenant has open here. limit: None: as many as it likes."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._taken: Counter[str] = Counter()

    def take(self, tenant: str) -> Refusal | None:
        """None: it has a place, and gives it back. Else why not."""
        if self.limit is not None and self._taken[tenant] >= self.limit:
            whose = f"tenant {tenant!r} has" if tenant else "there are"
            words = f"{whose} {self.limit} requests open here, as many as one tenant may have"
            return Refusal(Reason.QUEUE_FULL, words, retry_after_s=1.0)
        self._taken[tenant] += 1
        return None

    def give_back(self, tenant: str) -> None:
        self._taken[tenant] -= 1
        if not self._taken[tenant]:
            del self._taken[tenant]


def limited(fleet: Fleet, rights: Rights, places: TenantPlaces) -> Fleet:
    """`fleet` itself where nothing of it is limited: the hot path of fleets without tokens."""
    return fleet if rights.are_plain and places.limit is None else LimitedFleet(fleet, rights, places)


@final
class LimitedFleet:
    """Implements `controller.fleet.Fleet`. Models that the token is not for are not there."""

    def __init__(self, fleet: Fleet, rights: Rights, places: TenantPlaces) -> None:
        self._fleet = fleet
        self._clamp = rights.clamp
        self._is_clamped = rights.clamp != NO_CLAMP
        self._places = places
        self._rights = rights

    @property
    def changed(self) -> Pulse:
        return self._fleet.changed

    async def awaited(self, model: str) -> None:
        await self._fleet.awaited(model)

    def models(self) -> Mapping[str, ModelView]:
        models = self._fleet.models()
        return models if self._rights.models is None else _Allowed(models, self._rights)

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        tenant, refusal = call.tenant, self._places.take(call.tenant)
        if refusal is not None:
            self._fleet.turned_away(call.model, refusal, protocol=call.protocol, call_id=call.request_id)
            future = asyncio.get_running_loop().create_future()
            future.set_result(refusal)
            return future
        future = self._fleet.infer(self._clamped(call))
        future.add_done_callback(lambda _: self._places.give_back(tenant))
        return future

    def generate(self, call: GenerateCall) -> TokenStream:
        tenant, refusal = call.tenant, self._places.take(call.tenant)
        if refusal is not None:
            self._fleet.turned_away(call.model, refusal, protocol=call.protocol, call_id=call.request_id)
            stream = TokenStream(lambda: None)
            stream.put(refusal)
            return stream
        stream = self._fleet.generate(self._paced(call))
        if stream.is_over:
            self._places.give_back(tenant)
        else:
            stream.when_over = lambda: self._places.give_back(tenant)
        return stream

    def turned_away(
        self, model: str, refusal: Refusal, *, protocol: str = "grpc_v2", call_id: str = ""
    ) -> None:
        self._fleet.turned_away(model, refusal, protocol=protocol, call_id=call_id)

    def is_ready(self) -> bool:
        return self._fleet.is_ready()

    async def load(self, model: str) -> Refusal | None:
        return await self._fleet.load(model)

    async def unload(self, model: str) -> Refusal | None:
        return await self._fleet.unload(model)

    def statistics(self, model: str) -> ModelStatistics:
        return self._fleet.statistics(model)

    def _clamped(self, call: InferCall) -> InferCall:
        if not self._is_clamped:
            return call
        clamp = self._clamp
        return replace(call, slo_s=clamp.objective_s(call.slo_s), priority=clamp.priority(call.priority))

    def _paced(self, call: GenerateCall) -> GenerateCall:
        if not self._is_clamped:
            return call
        clamp = self._clamp
        return replace(
            call,
            slo_s=clamp.objective_s(call.slo_s),
            ttft_s=clamp.objective_s(call.ttft_s),
            tpot_s=clamp.pace_s(call.tpot_s),
            priority=clamp.priority(call.priority),
        )


@final
class _Allowed(Mapping[str, ModelView]):
    """What of all models one token may see."""

    def __init__(self, models: Mapping[str, ModelView], rights: Rights) -> None:
        self._models = models
        self._rights = rights

    def __getitem__(self, name: str) -> ModelView:
        view = self._models[name]
        if not self._rights.may_see(name, view):
            raise KeyError(name)
        return view

    def __iter__(self) -> Iterator[str]:
        return (name for name, view in self._models.items() if self._rights.may_see(name, view))

    def __len__(self) -> int:
        return sum(1 for _ in self)
