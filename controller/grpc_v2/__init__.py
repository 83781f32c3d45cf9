"""The v2 inference protocol over gRPC: a thin shell round a `Fleet` that decides, queues and counts."""

from controller.grpc_v2.server import PortInUse, RunningEndpoint, start_grpc

__all__ = ["PortInUse", "RunningEndpoint", "start_grpc"]
