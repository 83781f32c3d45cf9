"""ModelInfer, the hot path, and ModelStreamInfer: bytes -> InferCall -> Fleet -> reply or refusal."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import final

import grpc
from google.protobuf.message import DecodeError

from controller.grpc_v2.checks import ModelCheck, check_version, unknown_model
from controller.grpc_v2.fleet import Fleet, InferCall, InferReply, Reason, Refusal
from controller.grpc_v2.messages import ModelInferRequest, ModelInferResponse
from controller.grpc_v2.parameters import NO_WISHES, deadline_of, earlier, wishes_of
from controller.grpc_v2.refusals import Refused, set_refusal

_log = logging.getLogger(__name__)
_LATE = Refusal(Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that passed all checks.

    alias: the model's name as the client wrote it. wanted: outputs to send, () for all.
    """

    call: InferCall
    alias: str
    wanted: tuple[str, ...]
    has_own_timer: bool


@final
class Inference:
    """Answers requests for inference; remembers one ModelCheck per model."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._checks: dict[str, ModelCheck] = {}

    async def unary(self, raw: bytes, context: grpc.aio.ServicerContext) -> object:
        """ModelInfer."""
        outcome = await self.answer(raw, context.time_remaining())
        if type(outcome) is Refusal:
            set_refusal(context, outcome)
            return ModelInferResponse()
        return outcome

    async def answer(self, raw: bytes | object, time_remaining_s: float | None) -> object:
        """The ModelInferResponse for one ModelInferRequest (a message or its bytes), or a Refusal."""
        try:
            admitted = self._admit(raw, time_remaining_s)
            outcome = await self._ask(admitted)
        except Refused as refused:
            return refused.refusal
        return outcome if type(outcome) is Refusal else _response(admitted, outcome)

    def _admit(self, raw: bytes | object, time_remaining_s: float | None) -> Admitted:
        request = parsed(raw) if type(raw) is bytes else raw
        alias, version = request.model_name, request.model_version
        check = self._check(alias)
        check_version(check.view, version)
        deadline_s = deadline_of(time_remaining_s)
        wishes = wishes_of(request.parameters) if request.parameters else NO_WISHES
        call = InferCall(
            request.id,
            check.view.name,
            version or check.view.versions[-1],
            check.tensors_of(request),
            earlier(deadline_s, wishes.timeout_s),
            wishes.slo_s,
            wishes.priority,
            wishes.parameters,
        )
        wanted = check.wanted_outputs(request) if request.outputs else ()
        return Admitted(call, alias, wanted, wishes.timeout_s is not None)

    def _check(self, alias: str) -> ModelCheck:
        models = self._fleet.models()
        view = models.get(alias)
        if view is None:
            raise unknown_model(alias, list(models))
        check = self._checks.get(alias)
        if check is None or check.view is not view:
            check = self._checks[alias] = ModelCheck(view)
        return check

    async def _ask(self, admitted: Admitted) -> InferReply | Refusal:
        # gRPC cancels the handler when its deadline passes or the client leaves, and the await passes that on
        # to the fleet's future. Only the `timeout` parameter needs a timer of ours.
        try:
            if not admitted.has_own_timer:
                return await self._fleet.infer(admitted.call)
            async with asyncio.timeout(admitted.call.timeout_s):
                return await self._fleet.infer(admitted.call)
        except TimeoutError:
            return _LATE
        except Exception:  # the outermost frame of a request: a bug ends this call, not the server
            _log.exception("request %r for %r failed", admitted.call.request_id, admitted.call.model)
            return Refusal(Reason.FAILED, "internal error; the server's log has the details")


def parsed(raw: bytes) -> object:
    """The ModelInferRequest in `raw`. Raises Refused if there is none."""
    try:
        return ModelInferRequest.FromString(raw)
    except DecodeError as error:
        raise Refused(Reason.INVALID_REQUEST, f"{len(raw)} bytes are not a ModelInferRequest") from error


def _response(admitted: Admitted, reply: InferReply) -> object:
    call = admitted.call
    response = ModelInferResponse(model_name=admitted.alias, model_version=call.version, id=call.request_id)
    for tensor in _selected(reply, admitted.wanted):
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype)
        output.shape.extend(tensor.shape)
        response.raw_output_contents.append(bytes(tensor.raw))
    # Parameters, not metadata: response metadata costs 5 % of the requests per second.
    response.parameters["statmux_group"].string_param = reply.group
    response.parameters["statmux_queue_us"].int64_param = round(reply.queue_s * 1e6)
    return response


def _selected(reply: InferReply, wanted: tuple[str, ...]) -> tuple:
    if not wanted:
        return reply.tensors
    by_name = {tensor.name: tensor for tensor in reply.tensors}
    return tuple(by_name[name] for name in wanted)
