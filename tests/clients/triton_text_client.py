"""tritonclient asks for text: python triton_text_client.py GRPC,HTTP (addresses). Exits 0 if all holds."""

from __future__ import annotations

import asyncio
import queue
import sys
from collections.abc import AsyncIterator

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as triton_http

HELLO = "Hello, wörld! 😀"


def main(grpc_address: str, http_address: str) -> None:
    client = triton.InferenceServerClient(grpc_address)
    whole(client)
    streamed(client)
    several(client)
    refused(client)
    client.close()
    asyncio.run(asynchronous(grpc_address))
    over_http(triton_http.InferenceServerClient(http_address, network_timeout=20))


def whole(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("chat").config
    assert config.model_transaction_policy.decoupled
    result = client.infer("chat", [text("hi")], request_id="7", parameters={"temperature": 0.5, "seed": 3})
    response = result.get_response()
    assert result.as_numpy("text_output")[0].decode() == HELLO and response.id == "7"
    assert response.parameters["finish_reason"].string_param == "stop"
    assert response.parameters["num_output_tokens"].int64_param == len(result.as_numpy("output_ids"))
    limit = triton.InferInput("max_tokens", [1], "INT32")
    limit.set_data_from_numpy(np.array([5], np.int32))
    wanted = [triton.InferRequestedOutput("text_output")]
    assert client.infer("chat", [text("hi"), limit], outputs=wanted).as_numpy("text_output")[0] == b"Hello"
    expect(
        "INVALID_ARGUMENT",
        "'temprature'",
        lambda: client.infer("chat", [text("hi")], parameters={"temprature": 1}),
    )


def streamed(client: triton.InferenceServerClient) -> None:
    for wants_empty in (False, True):
        answers = started(client)
        client.async_stream_infer(
            "chat", [text("hi"), stream()], request_id="7", enable_empty_final_response=wants_empty
        )
        pieces, is_final = [], False
        while not is_final:
            result, error = answers.get(timeout=20)
            assert error is None, error
            response = result.get_response()
            is_final = response.parameters["triton_final_response"].bool_param
            if response.outputs:
                pieces.append(result.as_numpy("text_output")[0].decode())
            assert bool(response.outputs) or (is_final and wants_empty)
        client.stop_stream()
        assert "".join(pieces) == HELLO and len(pieces) > 5, pieces


def several(client: triton.InferenceServerClient) -> None:
    answers = started(client)
    for index in range(20):
        client.async_stream_infer("chat", [text(f"hi {index}"), stream()], request_id=str(index))
    said, num_open = {str(index): "" for index in range(20)}, 20
    while num_open:
        result, error = answers.get(timeout=20)
        assert error is None, error
        response = result.get_response()
        said[response.id] += result.as_numpy("text_output")[0].decode()
        num_open -= response.parameters["triton_final_response"].bool_param
    client.stop_stream()
    assert set(said.values()) == {HELLO}


def refused(client: triton.InferenceServerClient) -> None:
    answers = started(client)
    for model in ("busy", "nobody", "chat"):
        client.async_stream_infer(model, [text("hi")], request_id=model)
    outcomes = [answers.get(timeout=20) for _ in range(3)]
    client.stop_stream()
    errors = " ".join(str(error) for _, error in outcomes if error is not None)
    assert "64 requests wait" in errors and "unknown model 'nobody'" in errors, errors
    (good,) = (result for result, error in outcomes if error is None)
    assert good.as_numpy("text_output")[0].decode() == HELLO
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("stuck", [text("hi"), stream()])
    client.stop_stream(cancel_requests=True)


async def asynchronous(address: str) -> None:
    async with triton_aio.InferenceServerClient(address) as client:
        pieces = []

        async def asked() -> AsyncIterator[dict]:
            for index in range(2):
                yield {
                    "model_name": "chat",
                    "inputs": [text("hi", triton_aio), stream(triton_aio)],
                    "request_id": str(index),
                }

        async for result, error in client.stream_infer(asked()):
            assert error is None, error
            pieces.append((result.get_response().id, result.as_numpy("text_output")[0].decode()))
        for index in range(2):
            assert "".join(piece for request_id, piece in pieces if request_id == str(index)) == HELLO
        result = await client.infer("chat", [text("hi", triton_aio)])
        assert result.as_numpy("text_output")[0].decode() == HELLO


def over_http(client: triton_http.InferenceServerClient) -> None:
    for is_binary in (True, False):
        item = triton_http.InferInput("text_input", [1], "BYTES")
        item.set_data_from_numpy(np.array([b"hi"], dtype=object), binary_data=is_binary)
        outputs = None if is_binary else [triton_http.InferRequestedOutput("text_output", binary_data=False)]
        result = client.infer("chat", [item], outputs=outputs, parameters={"max_tokens": 12})
        found = result.as_numpy("text_output")[0]
        assert (found if isinstance(found, str) else found.decode()) == HELLO[:11], found
        assert result.get_response()["parameters"]["finish_reason"] == "length"


def started(client: triton.InferenceServerClient) -> queue.Queue:
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    return answers


def text(words: str, module=triton):
    item = module.InferInput("text_input", [1], "BYTES")
    item.set_data_from_numpy(np.array([words.encode()], dtype=object))
    return item


def stream(module=triton):
    item = module.InferInput("stream", [1], "BOOL")
    item.set_data_from_numpy(np.array([True]))
    return item


def expect(status: str, words: str, call) -> None:
    try:
        call()
    except triton.InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}" and words in error.message(), (status, words, error)
    else:
        raise AssertionError(f"expected {status}")


main(*sys.argv[1].split(","))
