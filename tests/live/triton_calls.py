"""tritonclient[grpc] against the mixed fleet: python triton_calls.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import queue
import sys

import numpy as np
import tritonclient.grpc as triton

X = np.arange(6, dtype=np.int32)
IDS = np.array([[5, 6, 7, 8]], dtype=np.int64)


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
    assert client.is_model_ready("bert") and client.is_model_ready("encoder")
    assert not client.is_model_ready("homeless")
    assert client.get_server_metadata().name == "statmux"
    bert = client.get_model_metadata("bert")
    assert [(item.name, item.datatype) for item in bert.inputs] == [
        ("input_ids", "INT64"),
        ("attention_mask", "INT64"),
    ]
    assert [item.name for item in bert.outputs] == ["last_hidden_state"]
    config = client.get_model_config("gpt2").config
    assert [item.name for item in config.output] == ["logits"]
    assert not config.model_transaction_policy.decoupled


def infer(client: triton.InferenceServerClient) -> None:
    before = client.get_inference_statistics("fast").model_stats[0].inference_count
    result = client.infer("fast", [tensor("INPUT0", X)], request_id="7")
    assert result.get_response().id == "7" and np.array_equal(result.as_numpy("OUTPUT0"), X)
    assert client.get_inference_statistics("fast").model_stats[0].inference_count == before + 1
    hidden = client.infer("encoder", tokens(IDS)).as_numpy("last_hidden_state")
    assert hidden.shape[:2] == IDS.shape and np.isfinite(hidden).all()
    logits = client.infer("gpt2", [tensor("input_ids", IDS)]).as_numpy("logits")
    assert logits.shape[:2] == IDS.shape and np.isfinite(logits).all()


def refuse(client: triton.InferenceServerClient) -> None:
    good = [tensor("INPUT0", X)]
    expect("NOT_FOUND", "did you mean 'fast'", lambda: client.infer("fats", good))
    expect("NOT_FOUND", "no version '9'", lambda: client.infer("fast", good, model_version="9"))
    flat = [tensor("input_ids", IDS[0])]
    expect("INVALID_ARGUMENT", "expected INT64 [-1, -1], got INT64 [4]", lambda: client.infer("gpt2", flat))
    long = [tensor("input_ids", np.ones((1, 17), np.int64))]
    expect("INVALID_ARGUMENT", "longest bucket, 16", lambda: client.infer("gpt2", long))
    strange = [tensor("input_ids", IDS + 10**6)]
    expect("INVALID_ARGUMENT", "outside 0 to", lambda: client.infer("gpt2", strange))
    expect("UNAVAILABLE", "no group", lambda: client.infer("homeless", good))
    expect("DEADLINE_EXCEEDED", "deadline", lambda: client.infer("slow", good, timeout=1))  # microseconds
    expect("RESOURCE_EXHAUSTED", "0.01 s", lambda: client.infer("slow", good, parameters={"slo_ms": 10}))
    assert np.array_equal(client.infer("fast", good).as_numpy("OUTPUT0"), X), "the server goes on"


def stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for model in ("fast", "fats", "gpt2"):
        inputs = [tensor("input_ids", IDS)] if model == "gpt2" else [tensor("INPUT0", X)]
        client.async_stream_infer(model, inputs, request_id=model)
    (first, _), (_, refused), (last, _) = [answers.get(timeout=60) for _ in range(3)]
    client.stop_stream()
    assert np.array_equal(first.as_numpy("OUTPUT0"), X)
    assert first.get_response().parameters["triton_final_response"].bool_param
    assert "did you mean 'fast'" in str(refused)
    assert last.as_numpy("logits").shape[:2] == IDS.shape


def repository(client: triton.InferenceServerClient) -> None:
    index = {entry.name: entry for entry in client.get_model_repository_index().models}
    assert {name: entry.state for name, entry in index.items()} == {
        "bert": "READY", "gpt2": "READY", "chat": "READY", "fast": "READY", "slow": "READY",
        "homeless": "UNAVAILABLE",
    }  # fmt: skip
    assert "no group" in index["homeless"].reason
    client.unload_model("fast")
    assert not client.is_model_ready("fast")
    expect("FAILED_PRECONDITION", "load it first", lambda: client.infer("fast", [tensor("INPUT0", X)]))
    client.load_model("fast")
    assert client.is_model_ready("fast")
    expect("UNAVAILABLE", "no group has room", lambda: client.load_model("homeless"))
    expect("NOT_FOUND", "unknown model", lambda: client.load_model("nobody"))


def tokens(ids: np.ndarray) -> list[triton.InferInput]:
    return [tensor("input_ids", ids), tensor("attention_mask", np.ones_like(ids))]


def tensor(name: str, array: np.ndarray) -> triton.InferInput:
    item = triton.InferInput(name, array.shape, {4: "INT32", 8: "INT64"}[array.itemsize])
    item.set_data_from_numpy(array)
    return item


def expect(status: str, text: str, call) -> None:
    try:
        call()
    except triton.InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}" and text in error.message(), (status, text, error)
    else:
        raise AssertionError(f"expected {status}")


main(sys.argv[1])
