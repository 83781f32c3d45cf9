"""Calls that cost a measuring client little: requests are bytes beforehand, answers are read later."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, final

from grpc import aio

from controller.grpc_v2.messages import message_class
from statmux.client import ClientError, operations
from statmux.client.channels import Tls, headers_with, open_aio_channel
from statmux.client.errors import client_error
from statmux.client.operations import InferResult


@final
class PreparedCalls:
    """One request for each model, sent again and again. Use it on one event loop."""

    def __init__(
        self,
        address: str,
        inputs: Mapping[str, Mapping[str, object]],
        *,
        token: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        self._headers = headers_with(token)
        prepared = {name: _prepared(name, one) for name, one in inputs.items()}
        one = next(iter(prepared.values()), None) or _prepared("", {})
        self._address = address
        self._read = one.read
        self._requests = {name: each.request.SerializeToString() for name, each in prepared.items()}
        self._channel = open_aio_channel(address, tls)
        self._stub = self._channel.unary_unary(one.path, request_serializer=None, response_deserializer=None)
        self._response = one.response_class

    def send(
        self,
        model: str,
        *,
        timeout_s: float,
        slo_s: float | None = None,
        ended: Callable[[float], None],
    ) -> aio.UnaryUnaryCall:
        """Send now; `ended` hears time.monotonic() at the end, whatever it is. slo_s: ask for it."""
        request = self._requests[model]
        if slo_s is not None:
            # Serialised messages one after the other are one message.
            request += _with_slo(slo_s)
        call = self._stub(request, timeout=timeout_s, metadata=self._headers)
        call.add_done_callback(lambda _: ended(time.monotonic()))
        return call

    async def answer(self, call: aio.UnaryUnaryCall) -> InferResult | ClientError:
        """What an ended call brought."""
        try:
            return self._read(self._response.FromString(await call))
        except aio.AioRpcError as error:
            return client_error(error, self._address)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()


def _prepared(model: str, inputs: Mapping[str, object]) -> operations.Operation[InferResult]:
    return operations.infer(model, inputs, metadata=None, outputs=(), slo_ms=None, priority=0, request_id="")  # type: ignore[arg-type]


def _with_slo(slo_s: float) -> bytes:
    request = message_class("ModelInferRequest")()
    request.parameters["slo_ms"].double_param = slo_s * 1e3
    return request.SerializeToString()
