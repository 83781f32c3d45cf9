"""tritonclient[http] against an endpoint: python triton_http_client.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import sys

import ml_dtypes
import numpy as np
import tritonclient.http as triton

X = np.arange(8, dtype=np.float32).reshape(2, 4)
WORDS = np.array([b"one", b"", "drei ü".encode()], dtype=object)


def main(address: str) -> None:
    client = triton.InferenceServerClient(address, network_timeout=20)
    describe(client)
    infer(client)
    refuse(client)
    repository(client)
    client.close()


def describe(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("echo") and not client.is_model_ready("echo", "7")
    assert not client.is_model_ready("nobody")
    metadata = client.get_server_metadata()
    assert metadata["name"] == "statmux" and "binary_tensor_data" in metadata["extensions"], metadata
    model = client.get_model_metadata("echo")
    assert model["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}], model
    config = client.get_model_config("every")
    assert config["max_batch_size"] == 0 and not config["model_transaction_policy"]["decoupled"]
    types = {tensor["name"]: tensor["data_type"] for tensor in config["input"]}
    assert (types["BOOL"], types["BYTES"], types["BF16"]) == ("TYPE_BOOL", "TYPE_STRING", "TYPE_BF16"), types
    assert [one["name"] for one in client.get_inference_statistics("echo")["model_stats"]] == ["echo"]
    assert len(client.get_inference_statistics()["model_stats"]) == 6


def infer(client: triton.InferenceServerClient) -> None:
    for is_binary_in in (True, False):
        for outputs in (None, [triton.InferRequestedOutput("x", binary_data=True)], [wanted("x")]):
            result = client.infer(
                "echo", [tensor("x", X, is_binary=is_binary_in)], outputs=outputs, request_id="7"
            )
            assert result.get_response()["id"] == "7"
            assert np.array_equal(result.as_numpy("x"), X) and result.as_numpy("x").dtype == np.float32
        for outputs in (None, [wanted("text")]):
            result = client.infer("text", [tensor("text", WORDS, is_binary=is_binary_in)], outputs=outputs)
            found = [each.encode() if isinstance(each, str) else each for each in result.as_numpy("text")]
            assert found == WORDS.tolist(), found
    every_type(client)
    running = client.async_infer("echo", [tensor("x", X)])
    assert np.array_equal(running.get_result().as_numpy("x"), X)


def every_type(client: triton.InferenceServerClient) -> None:
    """Binary and JSON mixed in one request, types that JSON does not carry as binary."""
    kinds = {
        "BOOL": "?", "UINT8": "u1", "UINT16": "u2", "UINT32": "u4", "UINT64": "u8", "INT8": "i1",
        "INT16": "i2", "INT32": "i4", "INT64": "i8", "FP16": "f2", "FP32": "f4", "FP64": "f8",
        "BF16": ml_dtypes.bfloat16, "BYTES": object,
    }  # fmt: skip
    values = {"BYTES": [b"a", b"b"]}
    arrays = {name: np.array(values.get(name, [1, 0]), dtype=kind) for name, kind in kinds.items()}
    inputs = []
    for index, (datatype, array) in enumerate(arrays.items()):
        item = triton.InferInput(datatype, [2], datatype)
        is_binary = datatype in ("FP16", "BF16") or index % 2 == 0
        item.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(item)
    result = client.infer("every", inputs)
    for datatype, array in arrays.items():
        assert np.array_equal(result.as_numpy(datatype), array), datatype


def refuse(client: triton.InferenceServerClient) -> None:
    good = [tensor("x", X)]
    expect("404", "did you mean 'echo'", lambda: client.infer("ecko", good))
    expect("404", "no version '9'", lambda: client.infer("echo", good, model_version="9"))
    expect("404", "unknown model", lambda: client.get_model_metadata("nobody"))
    for is_binary in (True, False):
        bad = [tensor("x", X[:, :3].copy(), is_binary=is_binary)]
        expect(
            "400", "'x': expected FP32 [-1, 4], got FP32 [2, 3]", lambda bad=bad: client.infer("echo", bad)
        )
    ints = [tensor("x", X.astype(np.int32))]
    expect("400", "expected FP32 [-1, 4], got INT32 [2, 4]", lambda: client.infer("echo", ints))
    expect("400", "no output 'y'", lambda: client.infer("echo", good, outputs=[wanted("y")]))
    classes = [triton.InferRequestedOutput("x", class_count=3)]
    expect("400", "not supported", lambda: client.infer("echo", good, outputs=classes))
    expect("429", "64 requests wait", lambda: client.infer("busy", good))
    expect("429", "SLO", lambda: client.infer("late", good))
    expect("504", "deadline passed", lambda: client.infer("stuck", good, timeout=100_000))
    expect("400", "'slo_ms'", lambda: client.infer("echo", good, parameters={"slo_ms": "soon"}))
    expect(
        "501", "content-encoding", lambda: client.infer("echo", good, request_compression_algorithm="gzip")
    )
    expect("404", "no path of the v2 protocol", client.get_system_shared_memory_status)
    assert np.array_equal(client.infer("echo", good).as_numpy("x"), X), "the server goes on"


def repository(client: triton.InferenceServerClient) -> None:
    states = {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}
    assert states["echo"] == "READY" and len(states) == 6, states
    client.unload_model("echo")
    assert not client.is_model_ready("echo")
    expect("503", "not loaded", lambda: client.infer("echo", [tensor("x", X)]))
    client.load_model("echo")
    assert client.is_model_ready("echo")
    expect("404", "unknown model", lambda: client.load_model("nobody"))
    expect("501", "'config' is not supported", lambda: client.load_model("echo", config="{}"))


def tensor(name: str, array: np.ndarray, *, is_binary: bool = True) -> triton.InferInput:
    item = triton.InferInput(name, array.shape, {"f": "FP32", "i": "INT32", "O": "BYTES"}[array.dtype.kind])
    item.set_data_from_numpy(array, binary_data=is_binary)
    return item


def wanted(name: str) -> triton.InferRequestedOutput:
    return triton.InferRequestedOutput(name, binary_data=False)


def expect(status: str, text: str, call) -> None:
    try:
        call()
    except triton.InferenceServerException as error:
        assert error.status() == status and text in error.message(), (status, text, error)
    else:
        raise AssertionError(f"expected {status} {text}")


main(sys.argv[1])
