"""Calls for answers token by token, as a measuring client makes them: what it hears is when tokens come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, final

import numpy as np
from grpc import aio
from numpy.typing import NDArray

from controller.grpc_v2.messages import SERVICE, ModelStreamInferResponse, message_class
from statmux.client import ClientError
from statmux.client.channels import Tls, headers_with, open_aio_channel
from statmux.client.errors import client_error
from vocabulary.trace import Tokens

_PATH = f"/{SERVICE}/ModelStreamInfer"
# Every tokenizer has so many tokens; those at the front are often special.
_LOW_TOKEN, _HIGH_TOKEN = 5, 250


@dataclass(frozen=True, slots=True)
class TokenAsk:
    """One request: a prompt of made-up tokens, an answer of exactly so many.

    slo_s, ttft_s, tpot_s: objectives to send, None for the endpoint's own.
    """

    model: str
    prompt_ids: NDArray[np.int32]
    num_tokens: int
    timeout_s: float
    slo_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """time.monotonic() of the first token and of the end; who answered. num_tokens: that came."""

    first_token_s: float
    finish_s: float
    num_tokens: int
    group: str
    queue_s: float | None
    error: ClientError | str | None = None


@final
class TokenCalls:
    """A stream of its own for every request. Use it on one event loop."""

    def __init__(self, address: str, *, token: str | None = None, tls: Tls | None = None) -> None:
        self._address = address
        self._headers = (("triton_grpc_error", "true"), *headers_with(token))
        self._channel = open_aio_channel(address, tls)
        self._stub = self._channel.stream_stream(
            _PATH,
            request_serializer=None,
            response_deserializer=ModelStreamInferResponse.FromString,
        )

    async def answer(self, ask: TokenAsk) -> TokenAnswer:
        """Send now, and hear all of it."""
        metadata = self._headers
        if ask.tenant:
            metadata += (("x-statmux-tenant", ask.tenant),)
        call = self._stub(timeout=ask.timeout_s, metadata=metadata)
        first_s, num_tokens, group, queue_s = np.nan, 0, "", None
        try:
            await call.write(_request(ask))
            await call.done_writing()
            async for message in call:
                reply = message.infer_response
                for output in reply.outputs:
                    num_tokens += output.shape[0]
                if num_tokens and first_s != first_s:
                    first_s = time.monotonic()
                if "statmux_group" in reply.parameters:
                    group = reply.parameters["statmux_group"].string_param
                    queue_s = reply.parameters["statmux_queue_us"].int64_param * 1e-6
        except aio.AioRpcError as error:
            failed = client_error(error, self._address)
            return TokenAnswer(first_s, time.monotonic(), num_tokens, group, queue_s, failed)
        return TokenAnswer(first_s, time.monotonic(), num_tokens, group, queue_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()


def prompts_of(tokens: Tokens) -> Sequence[NDArray[np.int32]]:
    """Made-up prompts of the trace's lengths, that begin alike where the trace says so [requests]."""
    return [_prompt(tokens, row) for row in range(len(tokens.input_tokens))]


def _prompt(tokens: Tokens, row: int) -> NDArray[np.int32]:
    num_tokens = max(int(tokens.input_tokens[row]), 1)
    parts = []
    if tokens.prefix_offsets is not None and tokens.prefix_hashes is not None:
        hashes = tokens.prefix_hashes[tokens.prefix_offsets[row] : tokens.prefix_offsets[row + 1]]
        parts = [_drawn(int(one) & (2**63 - 1), tokens.block_tokens) for one in hashes.tolist()]
    rest = num_tokens - sum(map(len, parts))
    if rest > 0:
        # Of the row alone: nobody else's prompt goes on like this.
        parts.append(_drawn(2**63 + row, rest))
    return np.concatenate(parts)[:num_tokens]


def _drawn(seed: int, num_tokens: int) -> NDArray[np.int32]:
    random = np.random.default_rng(seed)
    return random.integers(_LOW_TOKEN, _HIGH_TOKEN, size=num_tokens).astype(np.int32)


def _request(ask: TokenAsk) -> bytes:
    request = message_class("ModelInferRequest")(model_name=ask.model)
    request.inputs.add(name="input_ids", datatype="INT32", shape=[len(ask.prompt_ids)])
    request.raw_input_contents.append(ask.prompt_ids.tobytes())
    request.outputs.add(name="output_ids")
    parameters = request.parameters
    parameters["stream"].bool_param = True
    parameters["ignore_eos"].bool_param = True
    parameters["max_tokens"].int64_param = ask.num_tokens
    parameters["temperature"].int64_param = 0
    objectives = {"slo_ms": ask.slo_s, "ttft_ms": ask.ttft_s, "tpot_ms": ask.tpot_s}
    for name, seconds in objectives.items():
        if seconds is not None:
            parameters[name].double_param = seconds * 1e3
    return request.SerializeToString()
