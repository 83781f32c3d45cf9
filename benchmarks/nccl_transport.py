"""The NCCL transport on the GPUs of this machine: two and three processes, checked and then measured.

Part of `python -m benchmarks.transport --transport nccl`. With fewer GPUs than processes several share one.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from resharding.transport.cuda_library import Cuda
from resharding.transport.device_buffers import DeviceBuffer
from resharding.transport.errors import TransferFailed
from resharding.transport.nccl import NcclTransport, why_not_here
from resharding.transport.nccl_library import Nccl
from resharding.transport.rendezvous import FolderRendezvous

NUM_ROUNDS = 15
SIZES = (2**10, 2**20, 2**26, 2**28)
TIMEOUT_S = 60.0
# For members of which one is killed: how long the others may wait for it.
HASTY_S = 10.0
# From this version on NCCL lets members share a GPU; older ones take them for different hosts.
_SHARES_GPUS = 23000
# Until somebody is killed.
_ENDLESS = 10**6
_SPAWN = multiprocessing.get_context("spawn")


def measure_nccl(library: str | None = None) -> bool:
    """Prints what ran. library: one that has all functions of CUDA and NCCL, instead of those installed."""
    reason = why_not_here() if library is None else None
    if reason is not None:
        print(f"not run: {reason}")
        return False
    with tempfile.TemporaryDirectory() as folder:
        outfit = _Outfit(library, Path(folder))
        cuda, nccl = outfit.libraries()
        num_devices = cuda.num_devices()
        print(f"NCCL {nccl.version}, {num_devices} GPU(s); member i is on device i mod {num_devices}\n")
        for num_members in (2, 3):
            with _Peers(outfit, num_members, num_devices, timeout_s=TIMEOUT_S) as peers:
                _check(peers)
                _measure(peers)
        with _Peers(outfit, 3, num_devices, timeout_s=HASTY_S) as peers:
            _check_death(peers)
    return True


@dataclass(frozen=True, slots=True)
class _Outfit:
    library: str | None
    folder: Path

    def libraries(self) -> tuple[Cuda, Nccl]:
        if self.library is None:
            return Cuda(), Nccl()
        os.environ["FAKE_NCCL_FOLDER"] = str(self.folder)
        found = ctypes.CDLL(self.library)
        return Cuda(found), Nccl(found)


@dataclass(frozen=True, slots=True)
class _Errand:
    """Multicasts from the first of the group to all others."""

    epoch: int
    group: tuple[Any, ...]
    num_bytes: int
    num_rounds: int


@dataclass(frozen=True, slots=True)
class _Result:
    seconds: tuple[float, ...]
    checksum: int


class _Peers:
    """Member processes, told by pipes what to do."""

    def __init__(self, outfit: _Outfit, num_members: int, num_devices: int, *, timeout_s: float) -> None:
        self._pipes, self.processes = [], []
        for place in range(num_members):
            pipe, theirs = _SPAWN.Pipe()
            arguments = (theirs, outfit, place, num_devices, num_members > num_devices, timeout_s)
            self.processes.append(_SPAWN.Process(target=_take_part, args=arguments, daemon=True))
            self.processes[-1].start()
            self._pipes.append(pipe)
        self.group = tuple(pipe.recv() for pipe in self._pipes)
        self._epoch = 0

    def __enter__(self) -> _Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in zip(self._pipes, self.processes, strict=True):
            if process.is_alive():
                pipe.send(None)
                process.join(TIMEOUT_S)
            process.kill()

    def start(self, places: Sequence[int], num_bytes: int, *, num_rounds: int = 1) -> None:
        self._epoch += 1
        group = tuple(self.group[place] for place in places)
        for place in places:
            self._pipes[place].send(_Errand(self._epoch, group, num_bytes, num_rounds))

    def results(self, places: Sequence[int]) -> list[Any]:
        """A _Result of each, or what it failed with."""
        return [self._pipes[place].recv() for place in places]


def _check(peers: _Peers) -> None:
    everybody = range(len(peers.group))
    for num_bytes in (0, 1, 12_345_679):
        peers.start(everybody, num_bytes)
        results = peers.results(everybody)
        failures = [one for one in results if isinstance(one, Exception)]
        if failures:
            raise failures[0]
        assert {one.checksum for one in results} == {zlib.crc32(_some_bytes(num_bytes))}, num_bytes
    print(f"{len(peers.group)} members: 0, 1 and 12,345,679 bytes arrive at all bit for bit\n")


def _measure(peers: _Peers) -> None:
    everybody = range(len(peers.group))
    print(f"| bytes to {len(everybody) - 1} | ms | GB/s |\n|---|---|---|")
    for num_bytes in SIZES:
        peers.start(everybody, num_bytes, num_rounds=NUM_ROUNDS)
        seconds = statistics.median(peers.results(everybody)[0].seconds)
        print(f"| {num_bytes} | {seconds * 1e3:.3f} | {num_bytes / seconds / 1e9:.2f} |")
    print(f"\nmedians of {NUM_ROUNDS}, as the sender sees it, words of both ends included\n")


def _check_death(peers: _Peers) -> None:
    """Member 1 is killed in the middle of many transfers; the others hear of it, and go on without it."""
    everybody = range(len(peers.group))
    peers.start(everybody, SIZES[-1], num_rounds=_ENDLESS)
    assert peers.results(everybody) == ["going"] * 3
    os.kill(peers.processes[1].pid or 0, signal.SIGKILL)
    start_s = time.monotonic()
    for failure in peers.results([0, 2]):
        assert isinstance(failure, TransferFailed), failure
        print(f"after a kill -9: {failure}")
    print(f"heard after {time.monotonic() - start_s:.1f} s")
    peers.start([0, 2], 1000)
    assert all(isinstance(one, _Result) for one in peers.results([0, 2]))
    print("the next transfer, without it, works\n")


def _take_part(
    pipe: Connection, outfit: _Outfit, place: int, num_devices: int, is_shared: bool, timeout_s: float
) -> None:
    if is_shared:
        os.environ["NCCL_MULTI_RANK_GPU_ENABLE"] = "1"
    cuda, nccl = outfit.libraries()
    if is_shared and nccl.version < _SHARES_GPUS:
        os.environ["NCCL_HOSTID"] = f"member-{place}"
    transport = NcclTransport(
        rendezvous=FolderRendezvous(outfit.folder),
        device_ordinal=place % num_devices,
        timeout_s=timeout_s,
        cuda=cuda,
        nccl=nccl,
    )
    pipe.send(transport.endpoint())
    while (errand := pipe.recv()) is not None:
        try:
            pipe.send(_carry_out(errand, transport, cuda, place % num_devices, pipe))
        except Exception as error:
            pipe.send(error)
    transport.close()


def _carry_out(
    errand: _Errand, transport: NcclTransport, cuda: Cuda, ordinal: int, pipe: Connection
) -> _Result:
    cuda.use(ordinal)
    stream, pointer = cuda.new_stream(), cuda.allocate(max(1, errand.num_bytes))
    is_first = errand.group[0] == transport.endpoint()
    array = _some_bytes(errand.num_bytes) if is_first else np.zeros(errand.num_bytes, np.uint8)
    _copy(cuda, array.ctypes.data, pointer, array.nbytes, stream)
    channel = transport.open(errand.group, errand.epoch)
    buffer = DeviceBuffer(pointer, array.nbytes, ordinal)
    seconds = []
    for tag in range(errand.num_rounds):
        start_s = time.perf_counter()
        channel.multicast(buffer, chain=range(len(errand.group)), chunk_bytes=2**20, tag=tag).wait()
        seconds.append(time.perf_counter() - start_s)
        if tag == 0 and errand.num_rounds == _ENDLESS:
            pipe.send("going")
    channel.close()
    _copy(cuda, pointer, array.ctypes.data, array.nbytes, stream)
    cuda.free(pointer)
    cuda.destroy_stream(stream)
    return _Result(tuple(seconds), zlib.crc32(array))


def _copy(cuda: Cuda, source: int, target: int, num_bytes: int, stream: int) -> None:
    cuda.copy(source=source, target=target, num_bytes=num_bytes, stream=stream)
    while not cuda.is_idle(stream):
        pass


def _some_bytes(num_bytes: int) -> np.ndarray:
    return np.random.default_rng(num_bytes).integers(0, 256, num_bytes, dtype=np.uint8)
