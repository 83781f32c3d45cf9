"""A client of a running statmux: `Client("127.0.0.1:8001").infer("minilm", {"input_ids": ids})`."""

from statmux.client.aio import AsyncClient
from statmux.client.errors import (
    ClientError,
    DeadlineExceeded,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Rejected,
    ServerFailed,
    Unavailable,
)
from statmux.client.operations import InferResult, ModelEntry, ModelMetadata
from statmux.client.sync import Client

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "InferResult",
    "InvalidRequest",
    "ModelEntry",
    "ModelMetadata",
    "NotAllowed",
    "NotFound",
    "Rejected",
    "ServerFailed",
    "Unavailable",
]
