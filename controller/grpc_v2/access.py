"""Who makes a gRPC call, and what it is served by: for each token an endpoint of its own, over one port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import grpc

from controller.call_ids import drawn_id
from controller.calls import Refusal
from controller.fleet import Fleet
from controller.grpc_v2.describe import Description, Rpc
from controller.grpc_v2.infer import Inference
from controller.security.limited_fleet import TenantPlaces, limited
from controller.security.rights import Caller, Rights
from controller.tenants import Tenants
from controller.text import ModelText, TextFront
from vocabulary.limits import Limits
from vocabulary.security import ADMIN, INFER

# Answered without a token, like grpc.health.v1: whether the server lives and is ready, and nothing else.
OPEN_RPCS = frozenset({"ServerLive", "ServerReady"})
# One of these is needed; what describes models is for everybody who uses or looks after them.
SCOPES: Mapping[str, tuple[str, ...]] = {
    "ModelInfer": (INFER,),
    "ModelStreamInfer": (INFER,),
    "RepositoryModelLoad": (ADMIN,),
    "RepositoryModelUnload": (ADMIN,),
}
_USERS = (INFER, ADMIN)


@dataclass(frozen=True, slots=True)
class Door:
    """What one token's calls are served by."""

    inference: Inference
    rpcs: Mapping[str, Rpc]


@dataclass(frozen=True, slots=True)
class Entered:
    """A call that may be answered, and whose it is."""

    door: Door
    tenant: str


@final
class Doors:
    """Made once for an endpoint. is_local: it can be reached from this machine only."""

    def __init__(
        self,
        fleet: Fleet,
        texts: Mapping[str, ModelText],
        tenants: Tenants,
        *,
        is_local: bool,
        limits: Limits,
    ) -> None:
        self._fleet = fleet
        self._texts = texts
        self._tenants = tenants
        self._is_local = is_local
        self._limits = limits
        self._places = TenantPlaces(limits.max_tenant_requests)
        self._doors: dict[str, Door] = {}
        # Of fleets without tokens: by call, the same for everybody.
        self._entered: dict[str, Entered] = {}
        # Metadata is read only where something may be in it.
        self._everybody = tenants.caller(_nothing, is_local=is_local) if tenants.are_one else None

    def enter(self, rpc: str, context: grpc.aio.ServicerContext) -> Entered | Refusal:
        """Who may not come in is counted, and told an id to ask about."""
        known = self._entered.get(rpc)
        if known is not None:
            return known
        caller = self._everybody
        if caller is None:
            header = dict(context.invocation_metadata() or ()).get
            caller = self._tenants.caller(header, is_local=self._is_local)
        refusal = caller if isinstance(caller, Refusal) else _refusal_of(caller, rpc)
        if refusal is not None:
            refusal = replace(refusal, call_id=drawn_id())
            self._fleet.turned_away("", refusal, call_id=refusal.call_id)
            return refusal
        entered = Entered(self._door(caller.rights), caller.tenant)
        if self._everybody is not None:
            self._entered[rpc] = entered
        return entered

    def open_rpcs(self) -> Mapping[str, Rpc]:
        """Those that everybody may call."""
        rpcs = Description(self._fleet, self._text(self._fleet)).rpcs()
        return {name: rpc for name, rpc in rpcs.items() if name in OPEN_RPCS}

    def _door(self, rights: Rights) -> Door:
        door = self._doors.get(rights.name)
        if door is None:
            fleet = limited(self._fleet, rights, self._places)
            text = self._text(fleet)
            inference = Inference(fleet, text, limits=self._limits)
            door = self._doors[rights.name] = Door(inference, Description(fleet, text).rpcs())
        return door

    def _text(self, fleet: Fleet) -> TextFront:
        return TextFront(fleet, self._texts, limits=self._limits)


def _refusal_of(caller: Caller, rpc: str) -> Refusal | None:
    return caller.rights.refusal_of(*SCOPES.get(rpc, _USERS))


def _nothing(name: str) -> None:
    return None
