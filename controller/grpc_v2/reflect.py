"""Server reflection, so that tools can list and call without the .proto."""

from __future__ import annotations

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from controller.grpc_v2.health import HEALTH_SERVICE
from controller.grpc_v2.messages import SERVICE, load_pool

# The later name of the same protocol; some tools ask for it first.
_V1_SERVICE = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: aio.Server) -> None:
    """Describe the inference, health and reflection services to who asks `server`."""
    # The servicer looks into one pool, so this private one also holds health and reflection.
    pool = load_pool()
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    services = (SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer(services, pool=pool)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for service in (reflection.SERVICE_NAME, _V1_SERVICE):
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method}),)
        )
