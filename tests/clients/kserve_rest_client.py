"""kserve's REST client against an endpoint: python kserve_rest_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import asyncio
import logging
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

X = np.arange(8, dtype=np.float32).reshape(2, 4)
logging.disable(logging.ERROR)


async def main(address: str) -> None:
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "echo")
    for is_binary in (True, False):
        response = await client.infer(url, request("echo", X, is_binary=is_binary), model_name="echo")
        assert response.id == "7" and np.array_equal(response.outputs[0].as_numpy(), X), response
    for is_binary in (True, False):
        await expect(client, url, request("ecko", X, is_binary=is_binary), 404, "did you mean 'echo'")
    await expect(client, url, request("echo", X[:, :3]), 400, "expected FP32 [-1, 4]")
    await expect(client, url, request("late", X), 429, "SLO")
    await client.close()


def request(model: str, array: np.ndarray, *, is_binary: bool = True) -> InferRequest:
    item = InferInput("x", list(array.shape), "FP32")
    item.set_data_from_numpy(np.ascontiguousarray(array), binary_data=is_binary)
    return InferRequest(model_name=model, infer_inputs=[item], request_id="7")


async def expect(client: InferenceRESTClient, url: str, asked: InferRequest, status: int, text: str) -> None:
    try:
        await client.infer(url, asked, model_name=asked.model_name)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == status and text in str(error), (status, text, error)
    else:
        raise AssertionError(f"expected {status}")


asyncio.run(main(sys.argv[1]))
