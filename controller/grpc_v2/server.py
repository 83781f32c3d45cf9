"""Starts and stops the gRPC endpoint."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import final

import grpc
from grpc import aio

from controller.calls import Refusal
from controller.fleet import Fleet
from controller.grpc_v2.access import OPEN_RPCS, tenant_of
from controller.grpc_v2.describe import Description, Rpc
from controller.grpc_v2.health import Health
from controller.grpc_v2.infer import Inference
from controller.grpc_v2.messages import SERVICE, message_class
from controller.grpc_v2.reflect import add_reflection
from controller.grpc_v2.refusals import Refused, set_refusal
from controller.grpc_v2.stream import Streams
from controller.ports import refusal_to_listen
from controller.tenants import ONE_TENANT, Tenants
from controller.text import ModelText, TextFront
from vocabulary.errors import RuntimeFailure

MAX_MESSAGE_BYTES = 64 * 2**20
_MAX_UNREAD_CALLS = 1_000_000
_NO_TEXTS: Mapping[str, ModelText] = {}


@final
class RunningEndpoint:
    """A started endpoint. `port` is the one it listens on, also where 0 was asked for."""

    def __init__(self, server: aio.Server, port: int, health: Health, streams: Streams) -> None:
        self.port = port
        self._server = server
        self._health = health
        self._streams = streams

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let open ones finish for `grace_s` seconds, end the rest with UNAVAILABLE."""
        self._health.close()
        self._streams.close()
        await self._server.stop(grace_s)


async def start_grpc(
    fleet: Fleet,
    *,
    host: str = "127.0.0.1",
    port: int = 8001,
    reflection: bool = True,
    max_message_bytes: int = MAX_MESSAGE_BYTES,
    tenants: Tenants = ONE_TENANT,
    texts: Mapping[str, ModelText] = _NO_TEXTS,
) -> RunningEndpoint:
    """Serve `fleet` on the running event loop. port 0: any free one. texts: by canonical name.

    Raises PortInUse, or RuntimeFailure if the address cannot be listened on for another reason.
    """
    text = TextFront(fleet, texts)
    inference, health = Inference(fleet, text, tenants), Health(fleet)
    streams = Streams(inference)
    server = aio.server(options=_options(max_message_bytes))
    services = [_inference_service(Description(fleet, text), inference, streams, tenants), health.service()]
    server.add_generic_rpc_handlers(tuple(services))
    if reflection:
        add_reflection(server)
    try:
        bound_port = _listen(server, host, port)
    except RuntimeFailure:
        await server.stop(None)
        raise
    await server.start()
    return RunningEndpoint(server, bound_port, health, streams)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # or a second server on the port would silently take half of the calls
        ("grpc.max_receive_message_length", max_message_bytes),
        # Of calls that it has not handed to us yet, grpc cancels some beyond 1000, at random. Ours to refuse.
        ("grpc.server.max_pending_requests", _MAX_UNREAD_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_UNREAD_CALLS),
    ]


def _inference_service(
    description: Description, inference: Inference, streams: Streams, tenants: Tenants
) -> grpc.GenericRpcHandler:
    methods = {
        name: _described(name, rpc, ONE_TENANT if name in OPEN_RPCS else tenants)
        for name, rpc in description.rpcs().items()
    }
    # Bytes in, bytes out: see wire.py. And what does not parse becomes INVALID_ARGUMENT, not grpc's INTERNAL.
    methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(inference.unary)
    methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(streams.stream)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _described(name: str, rpc: Rpc, tenants: Tenants) -> grpc.RpcMethodHandler:
    request_class, response_class = message_class(f"{name}Request"), message_class(f"{name}Response")

    async def answer(request: object, context: aio.ServicerContext) -> object:
        tenant = tenant_of(tenants, context)
        if isinstance(tenant, Refusal):
            set_refusal(context, tenant)
            return response_class()
        try:
            return await rpc(request)
        except Refused as refused:
            set_refusal(context, refused.refusal)
            return response_class()

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request_class.FromString,
        response_serializer=response_class.SerializeToString,
    )


def _listen(server: aio.Server, host: str, port: int) -> int:
    _check_free(host, port)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server.add_insecure_port(authority)
    except RuntimeError as error:
        raise RuntimeFailure(f"cannot listen on {authority}: {error}") from error


def _check_free(host: str, port: int) -> None:
    """grpc does not say why it cannot listen, and takes `localhost` for free if one of its addresses is."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        raise refusal_to_listen(error, host, port, key="endpoints.grpc", flag="--port") from error
