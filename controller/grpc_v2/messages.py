"""Message classes of inference.proto, from a private descriptor pool.

tritonclient and kserve each register their own `inference.*` messages in protobuf's default pool; a process
that imports one of them beside us must keep working, so nothing of ours goes there.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"
_DESCRIPTORS = Path(__file__).parent.parent / "proto" / "inference.binpb"


def load_pool() -> descriptor_pool.DescriptorPool:
    """A fresh pool that holds inference.proto and nothing else."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(_DESCRIPTORS.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = load_pool()


def message_class(name: str) -> type:
    """The class of `inference.<name>`. Raises KeyError if there is none."""
    return GetMessageClass(POOL.FindMessageTypeByName(f"inference.{name}"))


ModelInferRequest = message_class("ModelInferRequest")
ModelInferResponse = message_class("ModelInferResponse")
ModelStreamInferResponse = message_class("ModelStreamInferResponse")
InferTensorContents = message_class("InferTensorContents")
