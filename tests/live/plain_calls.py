"""Only grpc, health and reflection against the mixed fleet: python plain_calls.py ADDRESS. 0 if all holds."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVING, NOT_SERVING = 1, 2
SERVICE = "inference.GRPCInferenceService"


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        check_health(health_pb2_grpc.HealthStub(channel))
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
        infer_by_reflection(channel, DescriptorPool(database))


def check_health(health: health_pb2_grpc.HealthStub) -> None:
    expected = {"": SERVING, "liveness": SERVING, SERVICE: SERVING, "model/bert": SERVING}
    for service, status in (expected | {"model/homeless": NOT_SERVING}).items():
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == status, service
    expect("NOT_FOUND", lambda: health.Check(health_pb2.HealthCheckRequest(service="model/nobody")))
    watch = health.Watch(health_pb2.HealthCheckRequest(service="model/gpt2"))
    assert next(watch).status == SERVING
    watch.cancel()


def infer_by_reflection(channel: grpc.Channel, pool: DescriptorPool) -> None:
    """What a tool such as grpcurl does: learn the messages from the server, then call."""
    method = pool.FindServiceByName(SERVICE).methods_by_name["ModelInfer"]
    request_class = GetMessageClass(method.input_type)
    call = channel.unary_unary(
        f"/{SERVICE}/ModelInfer",
        request_serializer=request_class.SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    good = request_for(request_class, "fast", elements=3)
    response = call(good, timeout=60)
    assert response.id == "by reflection" and response.raw_output_contents == good.raw_input_contents
    expect("NOT_FOUND", lambda: call(request_for(request_class, "nobody", elements=3), timeout=60))
    good.inputs[0].shape[0] = 4
    expect("INVALID_ARGUMENT", lambda: call(good, timeout=60))


def request_for(request_class: type[Message], model: str, *, elements: int) -> Message:
    request = request_class(model_name=model, id="by reflection")
    request.inputs.add(name="INPUT0", datatype="INT32", shape=[elements])
    request.raw_input_contents.append(struct.pack(f"<{elements}i", *range(elements)))
    return request


def expect(status: str, call: Callable[[], object]) -> None:
    try:
        call()
    except grpc.RpcError as error:
        assert error.code().name == status, error
    else:
        raise AssertionError(f"expected {status}")


main(sys.argv[1])
