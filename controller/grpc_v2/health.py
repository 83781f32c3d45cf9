"""grpc.health.v1: "" and the inference service are readiness, "liveness" the process, "model/<name>" a model.

Not grpcio-health-checking's servicer: it keeps a copy of the state, and its first watcher to leave silences
the other watchers of that service (1.81).
"""

from __future__ import annotations

from typing import final

import grpc
from grpc_health.v1 import health_pb2

from controller.calls import ModelState
from controller.fleet import Fleet
from controller.grpc_v2.messages import SERVICE

HEALTH_SERVICE = "grpc.health.v1.Health"
_Status = health_pb2.HealthCheckResponse


@final
class Health:
    """Answers from the fleet's state at the moment; watchers look again at each beat of `fleet.changed`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._is_closing = False

    def service(self) -> grpc.GenericRpcHandler:
        """Check and Watch, to be registered with a server."""
        coding = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": health_pb2.HealthCheckResponse.SerializeToString,
        }
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self.check, **coding),
            "Watch": grpc.unary_stream_rpc_method_handler(self.watch, **coding),
        }
        return grpc.method_handlers_generic_handler(HEALTH_SERVICE, methods)

    def close(self) -> None:
        """Tell watchers that nothing is served any more, and let them go."""
        self._is_closing = True
        self._fleet.changed.beat()

    async def check(self, request: object, context: grpc.aio.ServicerContext) -> object:
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details(f"unknown service {request.service[:80]!r}")
        return _Status(status=status)

    async def watch(self, request: object, context: grpc.aio.ServicerContext) -> None:
        last = None
        while True:
            count, status = self._fleet.changed.count, self._status(request.service)
            if status != last:
                await context.write(_Status(status=status))
                last = status
            if self._is_closing:
                return
            await self._fleet.changed.wait_beyond(count)

    def _status(self, service: str) -> int:
        if service == "liveness":
            return _Status.SERVING
        if service in ("", SERVICE):
            return self._serving(self._fleet.is_ready())
        view = (
            self._fleet.models().get(service.removeprefix("model/")) if service.startswith("model/") else None
        )
        return _Status.SERVICE_UNKNOWN if view is None else self._serving(view.state is ModelState.READY)

    def _serving(self, is_serving: bool) -> int:
        return _Status.SERVING if is_serving and not self._is_closing else _Status.NOT_SERVING
