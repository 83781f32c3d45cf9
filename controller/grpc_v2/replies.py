"""InferReplies as the bytes of ModelInferResponses: a head that repeats, then id, times and elements."""

from __future__ import annotations

from controller.call_ids import is_drawn
from controller.calls import InferReply
from controller.grpc_v2.admission import Form
from controller.grpc_v2.messages import ModelInferResponse
from controller.grpc_v2.wire import delimited, varint
from vocabulary.tensors import Tensor

_ID_TAG = b"\x1a"  # ModelInferResponse.id = 3
_RAW_OUTPUT_TAG = b"\x32"  # ModelInferResponse.raw_output_contents = 6
_MAX_HEADS = 64


def reply_bytes(form: Form, request_id: str, reply: InferReply) -> bytes:
    """A serialised ModelInferResponse. Its parameters say which group worked, and how long it queued and ran.
    An id that the client did not send is a parameter, too.

    They are parameters because response metadata would cost 5 % of the requests per second.
    """
    tensors = _selected(reply.tensors, form.wanted) if form.wanted else reply.tensors
    key = (reply.group, reply.version, *[(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors])
    head = form.reply_heads.get(key)
    if head is None:
        head = _remembered_head(form, key, reply, tensors)
    queue_us, execute_us = varint(int(reply.queue_s * 1e6)), varint(int(reply.execute_s * 1e6))
    parts = [head, _QUEUE_HEADS[len(queue_us)], queue_us, _EXECUTE_HEADS[len(execute_us)], execute_us]
    if is_drawn(request_id):
        parts.append(_id_parameter(request_id.encode()))
    elif request_id:
        id_bytes = request_id.encode()
        parts += (_ID_TAG, varint(len(id_bytes)), id_bytes)
    for tensor in tensors:
        parts += (_RAW_OUTPUT_TAG, varint(len(tensor.raw)), tensor.raw)
    return b"".join(parts)


def name_reply(response: object, request_id: str) -> None:
    """Tell the id: in its field where the client sent it, else as a parameter."""
    if is_drawn(request_id):
        response.parameters[REQUEST_ID].string_param = request_id
    else:
        response.id = request_id


def _remembered_head(form: Form, key: object, reply: InferReply, tensors: tuple[Tensor, ...]) -> bytes:
    response = ModelInferResponse(model_name=form.alias, model_version=reply.version or form.version)
    for tensor in tensors:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    response.parameters["statmux_group"].string_param = reply.group
    if len(form.reply_heads) >= _MAX_HEADS:
        form.reply_heads.clear()
    head = form.reply_heads[key] = response.SerializeToString()
    return head


def _selected(tensors: tuple[Tensor, ...], wanted: tuple[str, ...]) -> tuple[Tensor, ...]:
    by_name = {tensor.name: tensor for tensor in tensors}
    return tuple(by_name[name] for name in wanted)


def _id_parameter(id_bytes: bytes) -> bytes:
    """{statmux_request_id: string_param}. A drawn id is short: every length is one byte."""
    value = delimited(b"\x1a", id_bytes)
    return delimited(b"\x22", _ID_KEY + delimited(b"\x12", value))


def _time_heads(name: bytes) -> tuple[bytes, ...]:
    """What stands before a varint of 0, 1, ... bytes in the parameter {name: int64_param}."""
    heads = []
    for num_digits in range(11):
        entry = delimited(b"\x0a", name) + b"\x12" + varint(1 + num_digits) + b"\x10"
        heads.append(b"\x22" + varint(len(entry) + num_digits) + entry)
    return tuple(heads)


REQUEST_ID = "statmux_request_id"
_ID_KEY = delimited(b"\x0a", REQUEST_ID.encode())
_QUEUE_HEADS = _time_heads(b"statmux_queue_us")
_EXECUTE_HEADS = _time_heads(b"statmux_execute_us")
