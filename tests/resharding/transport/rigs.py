"""A transport of each kind with memory of its kind: tests speak numpy arrays and know nothing of either."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from resharding.transport.cuda_library import Cuda
from resharding.transport.device_buffers import DeviceBuffer
from resharding.transport.host import HostTransport
from resharding.transport.nccl import NcclTransport, why_not_here
from resharding.transport.nccl_library import Nccl
from resharding.transport.pacing import EmulatedNic
from resharding.transport.rendezvous import FolderRendezvous
from tests.resharding.transport.fake_nccl import load

# Small, so that a transfer of a test has many.
SLICE_BYTES = 2**18


class Medium(Enum):
    HOST = "host"
    FAKE_NCCL = "fake NCCL"
    NCCL = "NCCL"


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a rig is made of; can be sent to the process that makes it.

    nic_bytes_per_s: what leaves it is slowed down to that, but for real NCCL.
    """

    medium: Medium
    host: str
    folder: Path
    timeout_s: float = 20.0
    nic_bytes_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rig:
    """place: memory of a transfer with these bytes in it; fetch: the bytes that are in it now."""

    transport: Any
    place: Callable[[np.ndarray], Any]
    fetch: Callable[[Any], np.ndarray]


def why_not(medium: Medium) -> str | None:
    """Why it cannot be tested here."""
    if medium is not Medium.NCCL:
        return None
    reason = why_not_here()
    return reason and f"NCCL needs a GPU: {reason}"


def made(outfit: Outfit) -> Rig:
    if outfit.medium is Medium.HOST:
        return _host_rig(outfit)
    if outfit.medium is Medium.FAKE_NCCL:
        if outfit.nic_bytes_per_s is not None:
            os.environ["FAKE_NCCL_BYTES_PER_S"] = str(outfit.nic_bytes_per_s)
        library = load(outfit.folder)
        cuda, nccl = Cuda(library), Nccl(library)
        return Rig(_nccl_transport(outfit, cuda, nccl), _as_device_memory, lambda buffer: buffer.keepalive)
    os.environ["NCCL_MULTI_RANK_GPU_ENABLE"] = "1"
    cuda = Cuda()
    return Rig(
        _nccl_transport(outfit, cuda, Nccl()), lambda array: _on_device(cuda, array), _from_device(cuda)
    )


def _host_rig(outfit: Outfit) -> Rig:
    nic = EmulatedNic(outfit.nic_bytes_per_s) if outfit.nic_bytes_per_s else None
    transport = HostTransport(host=outfit.host, timeout_s=outfit.timeout_s, nic=nic)
    return Rig(transport, lambda array: array, lambda array: array)


def _nccl_transport(outfit: Outfit, cuda: Cuda, nccl: Nccl) -> NcclTransport:
    return NcclTransport(
        rendezvous=FolderRendezvous(outfit.folder),
        timeout_s=outfit.timeout_s,
        cuda=cuda,
        nccl=nccl,
        host=outfit.host,
        slice_bytes=SLICE_BYTES,
    )


def _as_device_memory(array: np.ndarray) -> DeviceBuffer:
    """Of the fake device: its memory is the host's."""
    return DeviceBuffer(array.ctypes.data, array.nbytes, 0, array)


@dataclass(frozen=True, slots=True)
class _Copied:
    """Device memory of a test; it is never freed, as its process ends soon."""

    num_bytes: int
    stream: int


def _on_device(cuda: Cuda, array: np.ndarray) -> DeviceBuffer:
    cuda.use(0)
    stream = cuda.new_stream()
    pointer = cuda.allocate(max(1, array.nbytes))
    _copy(cuda, source=array.ctypes.data, target=pointer, num_bytes=array.nbytes, stream=stream)
    return DeviceBuffer(pointer, array.nbytes, 0, _Copied(array.nbytes, stream))


def _from_device(cuda: Cuda) -> Callable[[DeviceBuffer], np.ndarray]:
    def fetch(buffer: DeviceBuffer) -> np.ndarray:
        cuda.use(0)
        array = np.zeros(buffer.num_bytes, np.uint8)
        stream = buffer.keepalive.stream
        _copy(cuda, source=buffer.pointer, target=array.ctypes.data, num_bytes=array.nbytes, stream=stream)
        return array

    return fetch


def _copy(cuda: Cuda, *, source: int, target: int, num_bytes: int, stream: int) -> None:
    cuda.copy(source=source, target=target, num_bytes=num_bytes, stream=stream)
    while not cuda.is_idle(stream):
        pass
