"""Calls for text over gRPC v2, as tests make them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from grpc import aio

from controller.grpc_v2.messages import (
    SERVICE,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
    message_class,
)
from controller.grpc_v2.server import start_grpc
from controller.tenants import ONE_TENANT, Tenants
from tests.controller.http.story import CODEC, EOS_ID, story_texts
from tests.controller.scripted_fleet import ScriptedFleet
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.tensors import Tensor

TIMEOUT_S = 10.0
HELLO = "Hello, wörld! 😀"
HELLO_IDS = [*CODEC.encode(HELLO, adds_special=False), EOS_ID]
COUNTS = ("num_input_tokens", "num_output_tokens", "num_cached_tokens")


@asynccontextmanager
async def channel_to(fleet: ScriptedFleet, *, tenants: Tenants = ONE_TENANT) -> AsyncIterator[aio.Channel]:
    endpoint = await start_grpc(fleet, port=0, tenants=tenants, texts=story_texts())
    async with aio.insecure_channel(f"127.0.0.1:{endpoint.port}") as channel:
        yield channel
    await endpoint.stop(0.0)


def request(model: str, *tensors: Tensor, request_id: str = "", outputs: tuple[str, ...] = (), **parameters):
    message = ModelInferRequest(model_name=model, id=request_id)
    for tensor in tensors or (text("hi"),):
        message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        message.raw_input_contents.append(bytes(tensor.raw))
    for name in outputs:
        message.outputs.add(name=name)
    for name, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}[
            type(value)
        ]
        setattr(message.parameters[name], kind, value)
    return message


def text(words: str | bytes) -> Tensor:
    return tensor_of("text_input", [words], datatype="BYTES")


def ids(*token_ids: int, datatype: str = "INT64") -> Tensor:
    return tensor_of("input_ids", np.array(token_ids), datatype=datatype)


STREAMED = tensor_of("stream", [True], datatype="BOOL")


def outputs_of(response: ModelInferResponse) -> dict[str, np.ndarray]:
    return {
        item.name: array_of(Tensor(item.name, item.datatype, tuple(item.shape), raw))
        for item, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }


def text_of(response: ModelInferResponse) -> str:
    return outputs_of(response)["text_output"][0].decode()


async def infer(channel: aio.Channel, message: ModelInferRequest) -> ModelInferResponse:
    stub = channel.unary_unary(f"/{SERVICE}/ModelInfer", response_deserializer=ModelInferResponse.FromString)
    return await stub(message.SerializeToString(), timeout=TIMEOUT_S)


async def refused(channel: aio.Channel, message: ModelInferRequest) -> tuple[str, str]:
    with pytest.raises(aio.AioRpcError) as caught:
        await infer(channel, message)
    return caught.value.code().name, caught.value.details()


async def conversation(
    channel: aio.Channel, *messages: ModelInferRequest, is_strict: bool = False
) -> aio.StreamStreamCall:
    """A stream on which these were sent; it stays open for more."""
    path = f"/{SERVICE}/ModelStreamInfer"
    metadata = (("triton_grpc_error", "true"),) if is_strict else ()
    call = channel.stream_stream(path, response_deserializer=ModelStreamInferResponse.FromString)(
        timeout=TIMEOUT_S, metadata=metadata
    )
    for message in messages:
        await call.write(message.SerializeToString())
    return call


async def all_replies(channel: aio.Channel, *messages: ModelInferRequest) -> list[ModelStreamInferResponse]:
    call = await conversation(channel, *messages)
    await call.done_writing()
    return [reply async for reply in call]


def is_final(response: ModelInferResponse) -> bool:
    return response.parameters["triton_final_response"].bool_param


async def infer_metadata(channel: aio.Channel, model: str) -> object:
    response = message_class("ModelMetadataResponse")
    stub = channel.unary_unary(f"/{SERVICE}/ModelMetadata", response_deserializer=response.FromString)
    return await stub(message_class("ModelMetadataRequest")(name=model).SerializeToString())
