"""kserve's gRPC client against a running endpoint: python kserve_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import asyncio
import logging
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

X = np.arange(8, dtype=np.float32).reshape(2, 4)
logging.disable(logging.ERROR)  # the client logs each error that it raises


async def main(address: str) -> None:
    client = InferenceGRPCClient(address)
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("echo")
    for request in (raw_request("echo", X), typed_request("echo", X)):
        response = await client.infer(request)
        assert response.id == "7" and np.array_equal(response.outputs[0].as_numpy(), X), response
    await expect(client.infer(raw_request("ecko", X)), "NOT_FOUND", "did you mean 'echo'")
    await expect(client.infer(raw_request("echo", X[:, :3])), "INVALID_ARGUMENT", "expected FP32 [-1, 4]")
    await expect(client.infer(raw_request("late", X)), "RESOURCE_EXHAUSTED", "SLO")
    await expect(client.infer(raw_request("stuck", X), timeout=0.2), "DEADLINE_EXCEEDED", "")
    await repository(address)
    await client.close()


async def repository(address: str) -> None:
    """KServe's messages have the model's name where Triton's have the repository's."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        metadata = await stub.ModelMetadata(messages.ModelMetadataRequest(name="echo"))
        assert metadata.name == "echo" and metadata.inputs[0].datatype == "FP32"
        loaded = await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="echo"))
        assert (loaded.model_name, loaded.isLoaded) == ("echo", True)
        unloaded = await stub.RepositoryModelUnload(messages.RepositoryModelUnloadRequest(model_name="echo"))
        assert (unloaded.model_name, unloaded.isUnloaded) == ("echo", True)
        assert not (await stub.ModelReady(messages.ModelReadyRequest(name="echo"))).ready
        await stub.RepositoryModelLoad(messages.RepositoryModelLoadRequest(model_name="echo"))


def raw_request(model: str, array: np.ndarray) -> InferRequest:
    item = InferInput("x", list(array.shape), "FP32")
    item.set_data_from_numpy(np.ascontiguousarray(array), binary_data=True)
    return InferRequest(model_name=model, infer_inputs=[item], request_id="7")


def typed_request(model: str, array: np.ndarray) -> InferRequest:
    item = InferInput("x", list(array.shape), "FP32")
    item.set_data_from_numpy(array, binary_data=False)
    return InferRequest(model_name=model, infer_inputs=[item], request_id="7")


async def expect(call, status: str, text: str) -> None:
    try:
        await call
    except grpc.RpcError as error:
        assert error.code().name == status and text in error.details(), (status, text, error)
    else:
        raise AssertionError(f"expected {status}")


asyncio.run(main(sys.argv[1]))
