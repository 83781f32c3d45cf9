"""Rewrite inference.binpb, the checked-in descriptor set, from inference.proto. Needs grpcio-tools.

The set is committed so that neither installing nor serving needs a protocol compiler.
"""

from __future__ import annotations

import sys
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent


def compile_descriptors(target: Path) -> None:
    """Write the serialised FileDescriptorSet of inference.proto to `target`."""
    arguments = [
        "protoc",
        f"-I{HERE}",
        f"--descriptor_set_out={target}",
        "--include_imports",
        "inference.proto",
    ]
    if protoc.main(arguments) != 0:
        sys.exit("inference.proto does not compile; see the lines above")


if __name__ == "__main__":
    compile_descriptors(HERE / "inference.binpb")
