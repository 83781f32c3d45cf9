"""The asyncio client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, final

from grpc import aio
from numpy.typing import ArrayLike

from statmux.client import operations
from statmux.client.channels import DEFAULT_TIMEOUT_S, headers_with, open_aio_channel, tls_of
from statmux.client.errors import DeadlineExceeded, Unavailable, client_error
from statmux.client.operations import InferResult, ModelEntry, ModelMetadata, Operation

Result = TypeVar("Result")


@final
class AsyncClient:
    """Talks to the gRPC endpoint at `address` (host:port). Use it on one event loop.

    token: shown with every call, where the fleet asks for one. tls: speak TLS, as with ca (the file of who
    signed the server's certificate) or cert and key (files of ours, where it asks for them); server_name:
    what its certificate says, where the address says something else. Calls raise the errors of
    `statmux.client.errors`; they never retry on their own.
    """

    def __init__(
        self,
        address: str,
        *,
        token: str | None = None,
        tls: bool = False,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        server_name: str | None = None,
    ) -> None:
        """Raises InvalidInput for files that cannot be read."""
        self.address = address
        self._headers = headers_with(token)
        self._channel = open_aio_channel(address, tls_of(tls, ca, cert, key, server_name))
        self._metadata: dict[str, ModelMetadata] = {}
        self._stubs: dict[str, aio.UnaryUnaryMultiCallable] = {}

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        timeout_s: float | None = DEFAULT_TIMEOUT_S,
        slo_ms: float | None = None,
        outputs: Sequence[str] = (),
        priority: int = 0,
        request_id: str = "",
    ) -> InferResult:
        """Arrays are sent as they are; lists are converted to the model's datatypes, strings to UTF-8.

        timeout_s: after it the request is dropped, by the server too. slo_ms: ask for this latency; what it
        cannot answer in time the server rejects at once. outputs: () for all.
        """
        metadata = await self._known_metadata(model) if operations.needs_metadata(inputs) else None
        operation = operations.infer(
            model,
            inputs,
            metadata=metadata,
            outputs=outputs,
            slo_ms=slo_ms,
            priority=priority,
            request_id=request_id,
        )
        return await self._run(operation, timeout_s)

    async def is_live(self, *, timeout_s: float = 5.0) -> bool:
        """Whether a server answers."""
        return await self._holds(operations.is_live(), timeout_s)

    async def is_ready(self, *, timeout_s: float = 5.0) -> bool:
        """Whether a server answers and all its models are up."""
        return await self._holds(operations.is_ready(), timeout_s)

    async def is_model_ready(self, model: str, *, timeout_s: float = 5.0) -> bool:
        """Raises NotFound for a name that the server does not know."""
        return await self._holds(operations.is_model_ready(model), timeout_s)

    async def model_metadata(self, model: str, *, version: str = "", timeout_s: float = 5.0) -> ModelMetadata:
        return await self._run(operations.model_metadata(model, version), timeout_s)

    async def models(self, *, timeout_s: float = 5.0) -> tuple[ModelEntry, ...]:
        return await self._run(operations.models(), timeout_s)

    async def load(self, model: str, *, timeout_s: float | None = None) -> None:
        """Return when the model is ready."""
        await self._run(operations.load(model), timeout_s)

    async def unload(self, model: str, *, timeout_s: float | None = None) -> None:
        await self._run(operations.unload(model), timeout_s)

    async def close(self) -> None:
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _known_metadata(self, model: str) -> ModelMetadata:
        if model not in self._metadata:
            self._metadata[model] = await self.model_metadata(model)
        return self._metadata[model]

    async def _holds(self, operation: Operation[bool], timeout_s: float) -> bool:
        try:
            return await self._run(operation, timeout_s)
        except (Unavailable, DeadlineExceeded):
            return False

    async def _run(self, operation: Operation[Result], timeout_s: float | None) -> Result:
        try:
            return operation.read(
                await self._stub(operation)(operation.request, timeout=timeout_s, metadata=self._headers)
            )
        except aio.AioRpcError as error:
            raise client_error(error, self.address) from error

    def _stub(self, operation: Operation[Result]) -> aio.UnaryUnaryMultiCallable:
        stub = self._stubs.get(operation.rpc)
        if stub is None:
            stub = self._stubs[operation.rpc] = self._channel.unary_unary(
                operation.path,
                request_serializer=type(operation.request).SerializeToString,
                response_deserializer=operation.response_class.FromString,
            )
        return stub
