"""statmux.client and tritonclient in one process: python beside_triton.py ADDRESS. Exits 0 if all holds."""

from __future__ import annotations

import sys

import numpy as np
import tritonclient.grpc as triton

from statmux.client import Client

X = np.arange(4, dtype=np.float32).reshape(1, 4)


def main(address: str) -> None:
    with Client(address) as ours:
        assert np.array_equal(ours.infer("echo", {"x": X}).outputs["x"], X)
    theirs = triton.InferenceServerClient(address)
    item = triton.InferInput("x", X.shape, "FP32")
    item.set_data_from_numpy(X)
    assert np.array_equal(theirs.infer("echo", [item]).as_numpy("x"), X)
    assert not {"jax", "ray"} & set(sys.modules), "the client pulled in what only a server needs"


main(sys.argv[1])
