"""kserve's gRPC client against the mixed fleet: python kserve_calls.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import asyncio
import logging
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

X = np.arange(6, dtype=np.int32)
IDS = np.array([[5, 6, 7, 8]], dtype=np.int64)
logging.disable(logging.ERROR)  # the client logs each error that it raises


async def main(address: str) -> None:
    client = InferenceGRPCClient(address, retries=0)
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("gpt2") and not await client.is_model_ready("homeless")
    for binary_data in (True, False):
        response = await client.infer(request("fast", "INPUT0", X, binary_data=binary_data))
        assert response.id == "7" and np.array_equal(response.outputs[0].as_numpy(), X), response
        response = await client.infer(request("gpt2", "input_ids", IDS, binary_data=binary_data))
        assert response.outputs[0].name == "logits" and response.outputs[0].shape[:2] == [1, 4], response
    await refuse(client)
    await repository(address)
    await client.close()


async def refuse(client: InferenceGRPCClient) -> None:
    good = request("fast", "INPUT0", X)
    await expect(client.infer(request("fats", "INPUT0", X)), "NOT_FOUND", "did you mean 'fast'")
    flat = request("gpt2", "input_ids", IDS[0])
    await expect(client.infer(flat), "INVALID_ARGUMENT", "expected INT64 [-1, -1], got INT64 [4]")
    hurried = request("slow", "INPUT0", X, parameters={"slo_ms": 10})
    await expect(client.infer(hurried), "RESOURCE_EXHAUSTED", "0.01 s")
    late = request("slow", "INPUT0", X, parameters={"timeout": 1})  # microseconds
    await expect(client.infer(late), "DEADLINE_EXCEEDED", "deadline")
    await expect(client.infer(request("homeless", "INPUT0", X)), "UNAVAILABLE", "no group")
    assert (await client.infer(good)).model_name == "fast", "the server goes on"


async def repository(address: str) -> None:
    """KServe's messages have the model's name where Triton's have the repository's."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = await stub.ModelMetadata(messages.ModelMetadataRequest(name="bert"))
        assert [item.name for item in metadata.inputs] == ["input_ids", "attention_mask"]
        loaded = await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="fast"))
        assert (loaded.model_name, loaded.isLoaded) == ("fast", True)


def request(
    model: str, name: str, array: np.ndarray, *, binary_data: bool = True, parameters: dict | None = None
) -> InferRequest:
    item = InferInput(name, list(array.shape), {4: "INT32", 8: "INT64"}[array.itemsize])
    item.set_data_from_numpy(np.ascontiguousarray(array), binary_data=binary_data)
    return InferRequest(model_name=model, infer_inputs=[item], request_id="7", parameters=parameters)


async def expect(call, status: str, text: str) -> None:
    try:
        await call
    except grpc.RpcError as error:
        assert error.code().name == status and text in error.details(), (status, text, error)
    else:
        raise AssertionError(f"expected {status}")


asyncio.run(main(sys.argv[1]))
