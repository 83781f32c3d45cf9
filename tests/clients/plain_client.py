"""A client that knows only health and reflection: python plain_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import struct
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def main(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        check_health(health_pb2_grpc.HealthStub(channel))
        database = ProtoReflectionDescriptorDatabase(channel)
        check_services(database)
        infer_by_reflection(channel, DescriptorPool(database))


def check_health(health: health_pb2_grpc.HealthStub) -> None:
    for service in ("", "liveness", "inference.GRPCInferenceService", "model/echo"):
        assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING, service
    try:
        health.Check(health_pb2.HealthCheckRequest(service="model/nobody"))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("expected NOT_FOUND")
    watch = health.Watch(health_pb2.HealthCheckRequest(service="model/echo"))
    assert next(watch).status == SERVING
    watch.cancel()
    unknown = health.Watch(health_pb2.HealthCheckRequest(service="model/nobody"))
    assert next(unknown).status == UNKNOWN
    unknown.cancel()


def check_services(database: ProtoReflectionDescriptorDatabase) -> None:
    services = set(database.get_services())
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services, services


def infer_by_reflection(channel: grpc.Channel, pool: DescriptorPool) -> None:
    """What a tool such as grpcurl does: learn the messages from the server, then call."""
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    health = pool.FindServiceByName("grpc.health.v1.Health")
    assert {method.name for method in health.methods} >= {"Check", "Watch"}
    method = service.methods_by_name["ModelInfer"]
    request = GetMessageClass(method.input_type)(model_name="echo", id="by reflection")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(struct.pack("<4f", 1, 2, 3, 4))
    call = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    response = call(request, timeout=10)
    assert response.id == "by reflection" and response.raw_output_contents == request.raw_input_contents


main(sys.argv[1])
