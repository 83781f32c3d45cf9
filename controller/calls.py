"""The nouns of endpoints: calls, replies, refusals, models as clients see them. No gRPC or HTTP in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from vocabulary.tensors import Tensor, TensorSpec

Parameter = bool | int | float | str


class Reason(Enum):
    """Why a call was refused, the `reason` of google.rpc.ErrorInfo. Every Fate but SERVED and INVALID
    is here by name."""

    SLO_INFEASIBLE = "slo_infeasible"  # predicted to finish late; asking again at once cannot help
    QUEUE_FULL = "queue_full"
    NOT_PLACED = "not_placed"
    UNAVAILABLE = "unavailable"
    DRAINING = "draining"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    CANCELLED = "cancelled"
    FAILED = "failed"
    LOST = "lost"  # its worker died
    NOT_LOADED = "not_loaded"  # known, and not to be loaded on demand
    UNKNOWN_MODEL = "unknown_model"
    UNKNOWN_VERSION = "unknown_version"
    INVALID_TENSOR = "invalid_tensor"
    INVALID_PARAMETER = "invalid_parameter"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"  # what OpenAI's clients look for
    UNAUTHENTICATED = "unauthenticated"  # no token, or one that nobody knows
    PERMISSION_DENIED = "permission_denied"  # the token is good, and not for this
    UNSUPPORTED = "unsupported"


# Calls and replies are msgspec structs: a frozen dataclass of so many fields takes eight times as long to
# make, which is 2 % of all that a request costs.
class InferCall(msgspec.Struct, frozen=True):
    """One well-formed call: tensors agree with the model's specs.

    model: the canonical name, whatever alias the client used. timeout_s: seconds that the client still
    waits, the smaller of the gRPC deadline and the `timeout` parameter; None: for ever. slo_s: the client's
    own latency objective from arrival; None: the model's. priority: 0 default, 1 highest. parameters: all, as
    sent. tenant: whose call it is, for fair queueing.
    """

    request_id: str
    model: str
    version: str
    tensors: tuple[Tensor, ...]
    timeout_s: float | None = None
    slo_s: float | None = None
    priority: int = 0
    parameters: Mapping[str, Parameter] = msgspec.field(default_factory=dict)
    tenant: str = ""
    protocol: str = "grpc_v2"


class InferReply(msgspec.Struct, frozen=True):
    """All outputs of the model. queue_s: from arrival until a group began to work; execute_s: from then.

    version: which answered, of a model that has several; else "".
    """

    tensors: tuple[Tensor, ...]
    group: str = ""
    queue_s: float = 0.0
    execute_s: float = 0.0
    version: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """No answer, and why.

    retry_after_s: when asking again makes sense; None: not known. call_id: by which its client may ask about
    it, where an endpoint knows it.
    """

    reason: Reason
    message: str
    retry_after_s: float | None = None
    call_id: str = ""


class ModelState(Enum):
    """States of the model repository, spelled as Triton spells them."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class GenerationView:
    """Of a model that generates. max_model_len: tokens of a prompt and its answer together, at most.

    vocab_size: token ids are below it. eos_ids: tokens that end an answer.
    """

    max_model_len: int
    vocab_size: int
    eos_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as clients see it. generation: None where every call has one reply.

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
    generation: GenerationView | None = None


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
