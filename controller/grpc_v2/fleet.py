"""What an endpoint needs of whoever serves: calls in, replies or refusals out. No gRPC in here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import msgspec

from vocabulary.tensors import Tensor, TensorSpec

Parameter = bool | int | float | str


class Reason(Enum):
    """Why a call was refused, the `reason` of google.rpc.ErrorInfo. Every Fate but SERVED is here by name."""

    SLO_INFEASIBLE = "slo_infeasible"  # predicted to finish late; asking again at once cannot help
    QUEUE_FULL = "queue_full"
    NOT_PLACED = "not_placed"
    UNAVAILABLE = "unavailable"
    DRAINING = "draining"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    FAILED = "failed"
    NOT_LOADED = "not_loaded"  # known, and not to be loaded on demand
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_VERSION = "unknown_version"
    INVALID_TENSOR = "invalid_tensor"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED = "unsupported"


# Calls and replies are msgspec structs: a frozen dataclass of so many fields takes eight times as long to
# make, which is 2 % of all that a request costs.
class InferCall(msgspec.Struct, frozen=True):
    """One well-formed call: tensors agree with the model's specs.

    model: the canonical name, whatever alias the client used. timeout_s: seconds that the client still
    waits, the smaller of the gRPC deadline and the `timeout` parameter; None: for ever. slo_s: the client's
    own latency objective from arrival; None: the model's. priority: 0 default, 1 highest. parameters: all, as
    sent.
    """

    request_id: str
    model: str
    version: str
    tensors: tuple[Tensor, ...]
    timeout_s: float | None = None
    slo_s: float | None = None
    priority: int = 0
    parameters: Mapping[str, Parameter] = msgspec.field(default_factory=dict)


class InferReply(msgspec.Struct, frozen=True):
    """All outputs of the model. queue_s: from arrival until a group began to work; execute_s: from then."""

    tensors: tuple[Tensor, ...]
    group: str = ""
    queue_s: float = 0.0
    execute_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer, and why. retry_after_s: when asking again makes sense; None: not known."""

    reason: Reason
    message: str
    retry_after_s: float | None = None


class ModelState(Enum):
    """States of the model repository, spelled as Triton spells them."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as clients see it.

    max_batch_size > 0: dimension 0 of every input is the batch. state_reason says why a model is not READY.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: tuple[str, ...] = ("1",)
    platform: str = "statmux_jax"
    max_batch_size: int = 0
    state: ModelState = ModelState.READY
    state_reason: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Totals since the start. last_inference_s: Unix time, 0.0 before the first."""

    num_served: int = 0
    num_failed: int = 0
    num_batches: int = 0
    served_s: float = 0.0
    failed_s: float = 0.0
    queue_s: float = 0.0
    execute_s: float = 0.0
    last_inference_s: float = 0.0


class Pulse:
    """Counts changes and wakes who waits for the next one. One event loop only.

    Read `count`, look at the state, then `wait_beyond(count)`: no change is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Something changed."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Return at the next change; nothing else may be awaited between the look at the state and this."""
        await self.wait_beyond(self.count)

    async def wait_beyond(self, count: int) -> None:
        """Return once `self.count` is no longer `count`."""
        if self.count != count:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Fleet(Protocol):
    """All methods are called on the endpoint's event loop."""

    @property
    def changed(self) -> Pulse:
        """Beats whenever readiness or a model's state changes; health watchers hang on it."""

    def infer(self, call: InferCall) -> asyncio.Future[InferReply | Refusal]:
        """Exactly one result. Cancelling the future cancels the request: the client left or its time is up.

        An exception in the future is a bug; the client sees INTERNAL without its text.
        """

    def turned_away(self, model: str, refusal: Refusal) -> None:
        """A call for a known model was refused for its form and does not come to `infer`. For counting."""

    def models(self) -> Mapping[str, ModelView]:
        """Every name and alias that clients may use. Called for each request: hand out the same mapping,
        and the same ModelView object for as long as the view does not change."""

    def is_ready(self) -> bool:
        """All required models are placed and warm, and the fleet is not draining."""

    async def load(self, model: str) -> Refusal | None:
        """Return when the model is READY, or with why it will not be. Idempotent."""

    async def unload(self, model: str) -> Refusal | None:
        """Return when the model is UNAVAILABLE, or with why it will not be. Idempotent."""

    def statistics(self, model: str) -> ModelStatistics: ...
