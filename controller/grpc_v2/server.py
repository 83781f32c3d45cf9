"""Starts and stops the gRPC endpoint."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from typing import final

import grpc
from grpc import aio

from controller.calls import Refusal
from controller.fleet import Fleet
from controller.grpc_v2.access import OPEN_RPCS, Doors
from controller.grpc_v2.describe import DESCRIBING_RPCS, Rpc
from controller.grpc_v2.health import Health
from controller.grpc_v2.messages import SERVICE, message_class
from controller.grpc_v2.reflect import add_reflection
from controller.grpc_v2.refusals import Refused, abort, set_refusal
from controller.grpc_v2.stream import Streams, header_of
from controller.ports import Sharing, check_free
from controller.security.certificates import Certificates
from controller.tenants import ONE_TENANT, Tenants
from controller.text import ModelText
from controller.tracing.tracer import NO_TRACER, AbstractTracer
from vocabulary.errors import RuntimeFailure
from vocabulary.exposure import is_loopback
from vocabulary.limits import DEFAULT_LIMITS, Limits

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
    certificates: Certificates | None = None,
    limits: Limits = DEFAULT_LIMITS,
    sharing: Sharing = Sharing.ALONE,
    tracer: AbstractTracer = NO_TRACER,
) -> RunningEndpoint:
    """Serve `fleet` on the running event loop. port 0: any free one. texts: by canonical name.

    certificates: TLS with these; None: none.

    Raises PortInUse, or RuntimeFailure if the address cannot be listened on for another reason.
    """
    health, streams = Health(fleet), Streams(tracer)
    doors = Doors(fleet, texts, tenants, is_local=is_loopback(host), limits=limits)
    server = aio.server(options=_options(max_message_bytes, limits, sharing))
    services = [_inference_service(doors, streams, tracer), health.service()]
    server.add_generic_rpc_handlers(tuple(services))
    if reflection:
        add_reflection(server)
    try:
        bound_port = _listen(server, host, port, certificates, sharing)
    except RuntimeFailure:
        await server.stop(None)
        raise
    await server.start()
    return RunningEndpoint(server, bound_port, health, streams)


def _options(max_message_bytes: int, limits: Limits, sharing: Sharing) -> list[tuple[str, int]]:
    return [
        # Unless it is to be so: a second server on the port would silently take half of the calls.
        ("grpc.so_reuseport", int(sharing.shares)),
        ("grpc.max_receive_message_length", max_message_bytes),
        # Of calls that it has not handed to us yet, grpc cancels some beyond 1000, at random. Ours to refuse.
        ("grpc.server.max_pending_requests", _MAX_UNREAD_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_UNREAD_CALLS),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_concurrent_streams", limits.max_streams),
        # Between the two, grpc refuses some at random.
        ("grpc.max_metadata_size", limits.max_header_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_header_bytes),
        ("grpc.server_handshake_timeout_ms", _milliseconds(limits.header_timeout_s)),
        ("grpc.max_connection_idle_ms", _milliseconds(limits.idle_timeout_s)),
        ("grpc.keepalive_time_ms", _milliseconds(limits.keepalive_s)),
    ]


def _milliseconds(seconds: float) -> int:
    """As grpc takes them: whole, and within 32 bits."""
    return min(math.ceil(seconds * 1e3), 2**31 - 1)


def _inference_service(doors: Doors, streams: Streams, tracer: AbstractTracer) -> grpc.GenericRpcHandler:
    open_rpcs = doors.open_rpcs()
    methods = {name: _described(name, doors, open_rpcs.get(name)) for name in (*OPEN_RPCS, *DESCRIBING_RPCS)}

    async def infer(message: bytes, context: aio.ServicerContext) -> bytes:
        if tracer.is_on:
            tracer.receive(header_of(context))
        entered = doors.enter("ModelInfer", context)
        if type(entered) is Refusal:
            set_refusal(context, entered)
            return b""
        return await entered.door.inference.unary(message, context, entered.tenant)

    async def stream(requests: AsyncIterator[bytes], context: aio.ServicerContext) -> None:
        if tracer.is_on:
            tracer.receive(header_of(context))
        entered = doors.enter("ModelStreamInfer", context)
        if isinstance(entered, Refusal):
            await abort(context, entered)
        await streams.stream(requests, context, entered.door.inference, entered.tenant)

    # Bytes in, bytes out: see wire.py. And what does not parse becomes INVALID_ARGUMENT, not grpc's INTERNAL.
    methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(infer)
    methods["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(stream)
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _described(name: str, doors: Doors, open_rpc: Rpc | None) -> grpc.RpcMethodHandler:
    """open_rpc: what answers where no token is asked for."""
    request_class, response_class = message_class(f"{name}Request"), message_class(f"{name}Response")

    async def answer(request: object, context: aio.ServicerContext) -> object:
        rpc = open_rpc
        if rpc is None:
            entered = doors.enter(name, context)
            if isinstance(entered, Refusal):
                set_refusal(context, entered)
                return response_class()
            rpc = entered.door.rpcs[name]
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


def _listen(
    server: aio.Server, host: str, port: int, certificates: Certificates | None, sharing: Sharing
) -> int:
    # grpc does not say why it cannot listen, and takes `localhost` for free if one of its addresses is.
    if sharing is not Sharing.FURTHER:
        check_free(host, port, key="endpoints.grpc", flag="--port")
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificates is None:
            return server.add_insecure_port(authority)
        return server.add_secure_port(authority, certificates.grpc_credentials())
    except RuntimeError as error:
        raise RuntimeFailure(f"cannot listen on {authority}: {error}") from error
