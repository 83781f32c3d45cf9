"""tritonclient[grpc] against a running endpoint: python triton_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import queue
import sys

import numpy as np
import tritonclient.grpc as triton

X = np.arange(8, dtype=np.float32).reshape(2, 4)


def main(address: str) -> None:
    client = triton.InferenceServerClient(address)
    describe(client)
    infer(client)
    refuse(client)
    stream(client)
    repository(client)
    client.close()


def describe(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("echo") and not client.is_model_ready("echo", "7")
    metadata = client.get_server_metadata()
    assert metadata.name == "statmux" and "model_repository" in metadata.extensions, metadata
    model = client.get_model_metadata("echo")
    assert (model.inputs[0].name, model.inputs[0].datatype, list(model.inputs[0].shape)) == (
        "x",
        "FP32",
        [-1, 4],
    )
    config = client.get_model_config("every").config
    assert config.max_batch_size == 0 and not config.model_transaction_policy.decoupled
    types = {tensor.name: tensor.data_type for tensor in config.input}
    assert (types["BOOL"], types["FP32"], types["BYTES"], types["BF16"]) == (1, 11, 13, 14), types
    stats = client.get_inference_statistics("echo").model_stats
    assert [entry.name for entry in stats] == ["echo"]
    assert len(client.get_inference_statistics().model_stats) == 6


def infer(client: triton.InferenceServerClient) -> None:
    for request_id in ("", "7", "a much longer id"):
        result = client.infer("echo", [tensor("x", X)], request_id=request_id)
        assert result.get_response().id == request_id
        assert np.array_equal(result.as_numpy("x"), X)
    wanted = [triton.InferRequestedOutput("x")]
    assert np.array_equal(client.infer("echo", [tensor("x", X[:1])], outputs=wanted).as_numpy("x"), X[:1])
    words = np.array([b"one", b"", b"drei"], dtype=object)
    assert client.infer("text", [tensor("text", words)]).as_numpy("text").tolist() == words.tolist()
    assert client.get_inference_statistics("echo").model_stats[0].inference_count == 4


def refuse(client: triton.InferenceServerClient) -> None:
    good = [tensor("x", X)]
    expect("NOT_FOUND", "did you mean 'echo'", lambda: client.infer("ecko", good))
    expect("NOT_FOUND", "no version '9'", lambda: client.infer("echo", good, model_version="9"))
    expect("NOT_FOUND", "unknown model", lambda: client.is_model_ready("nobody"))
    expect("INVALID_ARGUMENT", "'x': expected FP32 [-1, 4], got FP32 [2, 3]", wrong(client, X[:, :3].copy()))
    expect("INVALID_ARGUMENT", "expected FP32 [-1, 4], got INT32 [2, 4]", wrong(client, X.astype(np.int32)))
    expect("INVALID_ARGUMENT", "no output 'y'", lambda: client.infer("echo", good, outputs=[wanted("y")]))
    expect("INVALID_ARGUMENT", "not supported", lambda: client.infer("echo", good, outputs=[wanted("x", 3)]))
    expect("RESOURCE_EXHAUSTED", "64 requests wait", lambda: client.infer("busy", good))
    expect("RESOURCE_EXHAUSTED", "SLO", lambda: client.infer("late", good))
    expect("DEADLINE_EXCEEDED", "", lambda: client.infer("stuck", good, client_timeout=0.2))
    expect("DEADLINE_EXCEEDED", "deadline passed", lambda: client.infer("stuck", good, timeout=100_000))
    expect("INVALID_ARGUMENT", "'slo_ms'", lambda: client.infer("echo", good, parameters={"slo_ms": "soon"}))
    expect("UNIMPLEMENTED", "", client.get_system_shared_memory_status)
    assert np.array_equal(client.infer("echo", good).as_numpy("x"), X), "the server goes on"


def stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for model in ("echo", "late", "ecko", "echo"):
        client.async_stream_infer(model, [tensor("x", X)], request_id=model)
    outcomes = [answers.get(timeout=20) for _ in range(4)]
    client.stop_stream()
    assert [error is None for _, error in outcomes] == [True, False, False, True], outcomes
    assert np.array_equal(outcomes[3][0].as_numpy("x"), X)
    assert outcomes[0][0].get_response().parameters["triton_final_response"].bool_param
    assert "SLO" in str(outcomes[1][1]) and "did you mean" in str(outcomes[2][1])

    client.start_stream(
        lambda result, error: answers.put((result, error)), headers={"triton_grpc_error": "true"}
    )
    client.async_stream_infer("late", [tensor("x", X)])
    assert answers.get(timeout=20)[1].status() == "StatusCode.RESOURCE_EXHAUSTED"
    client.stop_stream()


def repository(client: triton.InferenceServerClient) -> None:
    states = {entry.name: entry.state for entry in client.get_model_repository_index().models}
    assert states["echo"] == "READY" and len(states) == 6, states
    client.unload_model("echo")
    assert not client.is_model_ready("echo")
    expect("UNAVAILABLE", "not loaded", lambda: client.infer("echo", [tensor("x", X)]))
    client.load_model("echo")
    assert client.is_model_ready("echo")
    expect("NOT_FOUND", "unknown model", lambda: client.load_model("nobody"))


def tensor(name: str, array: np.ndarray) -> triton.InferInput:
    item = triton.InferInput(name, array.shape, triton_type(array))
    item.set_data_from_numpy(array)
    return item


def triton_type(array: np.ndarray) -> str:
    return {"f": "FP32", "i": "INT32", "O": "BYTES"}[array.dtype.kind]


def wanted(name: str, class_count: int = 0) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, class_count=class_count)


def wrong(client: triton.InferenceServerClient, array: np.ndarray):
    return lambda: client.infer("echo", [tensor("x", array)])


def expect(status: str, text: str, call) -> None:
    try:
        call()
    except triton.InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}" and text in error.message(), (status, text, error)
    else:
        raise AssertionError(f"expected {status}")


main(sys.argv[1])
