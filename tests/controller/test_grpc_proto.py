"""The checked-in descriptor set is that of inference.proto, and stays out of protobuf's default pool."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

import controller.proto
from controller.grpc_v2.messages import POOL, SERVICE

PROTO = Path(controller.proto.__file__).parent


def test_descriptor_set_is_compiled_from_the_proto(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed: nothing to compile with")
    from controller.proto.compile import compile_descriptors

    compile_descriptors(tmp_path / "fresh.binpb")
    fresh, kept = (
        descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
        for path in (tmp_path / "fresh.binpb", PROTO / "inference.binpb")
    )
    assert fresh == kept, "inference.proto changed: run python controller/proto/compile.py"


def test_default_pool_knows_nothing_of_ours() -> None:
    assert POOL.FindServiceByName(SERVICE).full_name == SERVICE
    assert POOL is not descriptor_pool.Default()
