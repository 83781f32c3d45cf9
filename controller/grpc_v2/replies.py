"""InferReplies as the bytes of ModelInferResponses: a head that repeats, then id, queue time and elements."""

from __future__ import annotations

from controller.grpc_v2.admission import Form
from controller.grpc_v2.fleet import InferReply
from controller.grpc_v2.messages import ModelInferResponse
from controller.grpc_v2.wire import delimited, varint
from vocabulary.tensors import Tensor

_ID_TAG = b"\x1a"  # ModelInferResponse.id = 3
_PARAMETER_TAG = b"\x22"  # .parameters = 4, a map entry {key = 1, value = 2 InferParameter{int64_param = 2}}
_RAW_OUTPUT_TAG = b"\x32"  # .raw_output_contents = 6
_QUEUE_KEY = delimited(b"\x0a", b"statmux_queue_us")
_VALUE_TAG = b"\x12"
_INT64_TAG = b"\x10"
_MAX_HEADS = 64


def reply_bytes(form: Form, request_id: str, reply: InferReply) -> bytes:
    """A serialised ModelInferResponse. Its parameters say which group worked and how long the request queued.

    They are parameters because response metadata would cost 5 % of the requests per second.
    """
    tensors = _selected(reply.tensors, form.wanted) if form.wanted else reply.tensors
    key = (reply.group, *[(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors])
    head = form.reply_heads.get(key)
    if head is None:
        head = _remembered_head(form, key, reply.group, tensors)
    queue_us = _INT64_TAG + varint(int(reply.queue_s * 1e6))
    parameter = _QUEUE_KEY + delimited(_VALUE_TAG, queue_us)
    parts = [head, delimited(_ID_TAG, request_id.encode()), delimited(_PARAMETER_TAG, parameter)]
    for tensor in tensors:
        parts += (_RAW_OUTPUT_TAG, varint(len(tensor.raw)), tensor.raw)
    return b"".join(parts)


def _remembered_head(form: Form, key: object, group: str, tensors: tuple[Tensor, ...]) -> bytes:
    response = ModelInferResponse(model_name=form.alias, model_version=form.version)
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    response.parameters["statmux_group"].string_param = group
    if len(form.reply_heads) >= _MAX_HEADS:
        form.reply_heads.clear()
    head = form.reply_heads[key] = response.SerializeToString()
    return head


def _selected(tensors: tuple[Tensor, ...], wanted: tuple[str, ...]) -> tuple[Tensor, ...]:
    by_name = {tensor.name: tensor for tensor in tensors}
    return tuple(by_name[name] for name in wanted)
