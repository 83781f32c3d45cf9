"""From the bytes of a ModelInferRequest to an InferCall, through everything that can be wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import final

from google.protobuf.message import DecodeError

from controller.call_ids import drawn_id
from controller.calls import InferCall, ModelView, Reason
from controller.fleet import Fleet
from controller.grpc_v2.checks import MAX_ID_CHARS, ModelCheck, check_sizes, check_version, unknown_model
from controller.grpc_v2.messages import ModelInferRequest
from controller.grpc_v2.parameters import NO_WISHES, Wishes, deadline_of, earlier, wishes_of
from controller.grpc_v2.refusals import Refused
from controller.grpc_v2.text_asks import TextAsk, text_ask
from controller.grpc_v2.wire import split
from controller.text import TextFront
from controller.versioned import is_unknown, name_of, told_version
from vocabulary.limits import DEFAULT_LIMITS, Limits
from vocabulary.tensors import Tensor

# Forms kept, enough for some hundred models with some shapes each. When full, all are forgotten.
_MAX_FORMS = 4096
_MAX_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class InputForm:
    """One raw tensor of fixed size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Form:
    """What requests with one header have in common: all but id, deadline and elements.

    alias: the model's name as the client wrote it; known_as: under which its view is, or its version's.
    wanted: outputs to send, () for all. reply_heads belongs to `replies`.
    """

    view: ModelView
    alias: str
    known_as: str
    version: str
    wishes: Wishes
    wanted: tuple[str, ...]
    inputs: tuple[InputForm, ...]
    reply_heads: dict[object, bytes] = field(default_factory=dict)


class NotKnown(Exception):
    """What the model takes is not known before it is loaded. `args`: its name."""


@final
class Admission:
    """Checks requests against the fleet's models; remembers the headers that it has found good."""

    def __init__(
        self,
        fleet: Fleet,
        text: TextFront,
        *,
        protocol: str = "grpc_v2",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._fleet = fleet
        self._text = text
        self._protocol = protocol
        self._limits = limits
        self._checks: dict[str, ModelCheck] = {}
        self._forms: dict[bytes, Form] = {}

    def admit(
        self,
        message: bytes,
        time_remaining_s: float | None,
        tenant: str = "",
        *,
        call_id: str = "",
        is_awaited: bool = False,
    ) -> tuple[Form, InferCall] | tuple[None, TextAsk]:
        """The call in a serialised ModelInferRequest. Raises Refused.

        call_id: of a call that names none itself; without, one is drawn, so that its client can ask about it.
        Raises NotKnown for a model that may be loaded on demand, unless it `is_awaited` already.
        """
        parts = split(message)
        if parts is None:
            return self._examine(message, time_remaining_s, tenant, call_id, is_awaited=is_awaited)
        header, request_id, raws = parts
        form = self._forms.get(header)
        if (
            form is not None
            and self._fleet.models().get(form.known_as) is form.view
            and len(request_id) <= MAX_ID_CHARS
        ):
            tensors = _tensors(form, raws)
            if tensors is not None:
                told = request_id or call_id or drawn_id()
                return form, self._call(form, told, tensors, time_remaining_s, tenant)
        form, call = self._examine(message, time_remaining_s, tenant, call_id, is_awaited=is_awaited)
        if form is None:
            return form, call
        if len(header) <= _MAX_HEADER_BYTES and len(raws) == len(call.tensors) and _has_fixed_sizes(call):
            self._remember(header, form)
        return form, call

    def _examine(
        self, message: bytes, time_remaining_s: float | None, tenant: str, call_id: str, *, is_awaited: bool
    ) -> tuple[Form, InferCall] | tuple[None, TextAsk]:
        name, call_id = "", call_id or drawn_id()
        try:
            request = parsed(message)
            # One that is too long is refused, and not written everywhere either.
            if len(request.id) <= MAX_ID_CHARS:
                request.id = call_id = request.id or call_id
            check_sizes(request, self._limits)
            check = self._check(name_of(self._fleet.models(), request.model_name, request.model_version))
            name = check.view.name
            if is_unknown(check.view) and not is_awaited:
                raise NotKnown(name)
            if check.view.generation is not None:
                return None, self._ask(check.view, request, time_remaining_s, tenant)
            return self._fitted(check, request, time_remaining_s, tenant)
        except Refused as refused:
            refused.refusal = replace(refused.refusal, call_id=call_id)
            self._fleet.turned_away(name, refused.refusal, protocol=self._protocol, call_id=call_id)
            raise

    def _fitted(
        self, check: ModelCheck, request: object, time_remaining_s: float | None, tenant: str
    ) -> tuple[Form, InferCall]:
        check_version(check.view, request.model_version)
        tensors = check.tensors_of(request)
        form = Form(
            view=check.view,
            alias=request.model_name,
            known_as=name_of(self._fleet.models(), request.model_name, request.model_version),
            version=told_version(check.view, request.model_version),
            wishes=wishes_of(request.parameters) if request.parameters else NO_WISHES,
            wanted=check.wanted_outputs(request),
            inputs=tuple(InputForm(item.name, item.datatype, item.shape, len(item.raw)) for item in tensors),
        )
        return form, self._call(form, request.id, tensors, time_remaining_s, tenant)

    def _ask(self, view: ModelView, request: object, time_remaining_s: float | None, tenant: str) -> TextAsk:
        check_version(view, request.model_version)
        model = name_of(self._fleet.models(), request.model_name, request.model_version)
        has_text = self._text.text(model).codec is not None
        return text_ask(
            view,
            request,
            time_remaining_s,
            model=model,
            tenant=tenant,
            has_text=has_text,
            protocol=self._protocol,
        )

    def _call(
        self,
        form: Form,
        request_id: str,
        tensors: tuple[Tensor, ...],
        time_remaining_s: float | None,
        tenant: str,
    ) -> InferCall:
        wishes, timeout_s = form.wishes, deadline_of(time_remaining_s)
        if wishes.timeout_s is not None:
            timeout_s = earlier(timeout_s, wishes.timeout_s)
        return InferCall(
            request_id,
            form.view.name,
            form.version,
            tensors,
            timeout_s,
            wishes.slo_s,
            wishes.priority,
            wishes.parameters,
            tenant,
            self._protocol,
        )

    def _check(self, alias: str) -> ModelCheck:
        models = self._fleet.models()
        view = models.get(alias)
        if view is None:
            raise unknown_model(alias, list(models))
        check = self._checks.get(alias)
        if check is None or check.view is not view:
            check = self._checks[alias] = ModelCheck(view)
        return check

    def _remember(self, header: bytes, form: Form) -> None:
        if len(self._forms) >= _MAX_FORMS:
            self._forms.clear()
        self._forms[header] = form


def parsed(message: bytes) -> object:
    """The ModelInferRequest in `message`. Raises Refused if there is none."""
    try:
        return ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise Refused(Reason.INVALID_REQUEST, f"{len(message)} bytes are not a ModelInferRequest") from error


def _tensors(form: Form, raws: list[bytes | memoryview]) -> tuple[Tensor, ...] | None:
    """None: the raws are not of the form's sizes."""
    if len(raws) != len(form.inputs):
        return None
    tensors = []
    for item, raw in zip(form.inputs, raws, strict=True):
        if len(raw) != item.num_bytes:
            return None
        tensors.append(Tensor(item.name, item.datatype, item.shape, raw))
    return tuple(tensors)


def _has_fixed_sizes(call: InferCall) -> bool:
    """BYTES tensors of one shape differ in size, and each must be looked through."""
    return all(tensor.datatype != "BYTES" for tensor in call.tensors)
