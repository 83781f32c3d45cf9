"""The call that every peer answers: one request of 128 bytes, and the service a no-op peer registers.

Peers share no code with statmux, so that a fault in its protocol cannot hide in both. Messages are built in
a private descriptor pool with the field numbers of the v2 protocol; fields that the call does not use are
left out.
"""

from __future__ import annotations

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"
PATH = f"/{SERVICE}/ModelInfer"
MODEL = "noop"
REQUEST_BYTES = 128

_Field = descriptor_pb2.FieldDescriptorProto
_TENSOR = (("name", 1, "string"), ("datatype", 2, "string"), ("shape", 3, "int64*"))
_MESSAGES = {
    "InferInputTensor": _TENSOR,
    "InferOutputTensor": _TENSOR,
    "ModelInferRequest": (
        ("model_name", 1, "string"),
        ("inputs", 5, "InferInputTensor*"),
        ("raw_input_contents", 7, "bytes*"),
    ),
    "ModelInferResponse": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("outputs", 5, "InferOutputTensor*"),
        ("raw_output_contents", 6, "bytes*"),
    ),
}
_TYPES = {"string": _Field.TYPE_STRING, "int64": _Field.TYPE_INT64, "bytes": _Field.TYPE_BYTES}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="noop.proto", package="inference", syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            described.field.append(_field(name, number, kind))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _field(name: str, number: int, kind: str) -> _Field:
    label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
    kind = kind.rstrip("*")
    if kind in _TYPES:
        return _Field(name=name, number=number, label=label, type=_TYPES[kind])
    return _Field(
        name=name, number=number, label=label, type=_Field.TYPE_MESSAGE, type_name=f".inference.{kind}"
    )


_POOL = _pool()


def _message_class(name: str) -> type:
    message = GetMessageClass(_POOL.FindMessageTypeByName(f"inference.{name}"))
    # Ray Serve pickles requests on their way from its proxy to the replica, by module and name.
    message.__module__ = __name__
    return message


ModelInferRequest = _message_class("ModelInferRequest")
ModelInferResponse = _message_class("ModelInferResponse")


def noop_request() -> bytes:
    """The request as it goes on the wire: 25 INT32 numbers, 128 bytes in all."""
    request = ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="INPUT0", datatype="INT32", shape=[25])
    request.raw_input_contents.append(b"".join(i.to_bytes(4, "little") for i in range(25)))
    raw = request.SerializeToString(deterministic=True)
    assert len(raw) == REQUEST_BYTES, len(raw)
    return raw


def noop_reply(request: ModelInferRequest) -> ModelInferResponse:
    """The request's numbers sent back, as statmux's emulated engine does."""
    reply = ModelInferResponse(model_name=request.model_name, model_version="1")
    for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
        reply.outputs.add(name="OUTPUT0", datatype=tensor.datatype, shape=tensor.shape)
        reply.raw_output_contents.append(raw)
    return reply


def add_noop_service(servicer: object, server: grpc.aio.Server) -> None:
    """Register `servicer.ModelInfer` under the path of the v2 protocol, as generated code would."""
    method = grpc.unary_unary_rpc_method_handler(
        servicer.ModelInfer,
        request_deserializer=ModelInferRequest.FromString,
        response_serializer=ModelInferResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": method}),))


def call(port: int, *, timeout_s: float) -> bytes:
    """One real reply, as bytes. Raises grpc.RpcError, or AssertionError if the numbers did not come back."""
    raw = noop_request()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        reply_raw = channel.unary_unary(PATH)(raw, timeout=timeout_s)
    sent = ModelInferRequest.FromString(raw).raw_input_contents
    reply = ModelInferResponse.FromString(reply_raw)
    assert list(reply.raw_output_contents) == list(sent), reply
    return reply_raw
