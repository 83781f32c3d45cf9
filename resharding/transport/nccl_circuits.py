"""NCCL communicators, each with its own stream and event, kept for the next channel that wants them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from resharding.transport.cuda_library import Cuda, CudaFailure
from resharding.transport.endpoints import Endpoint
from resharding.transport.nccl_library import Nccl, NcclFailure, Stretch

FINGERPRINT_BYTES = 16
NO_FINGERPRINT = bytes(FINGERPRINT_BYTES)
# Of the device's multiprocessors a transfer takes no more: what computes goes on beside it.
_MAX_CTAS = 8
_LOOK_S = 1e-3


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device and the libraries to use it with. patience_s: what an end may take."""

    cuda: Cuda
    nccl: Nccl
    ordinal: int
    patience_s: float


@final
class Circuit:
    """One way, from the first rank to all others. One stretch is under way at a time, so that no work of the
    device ever waits in a queue behind one that waits for a peer.

    One thread at a time. Methods raise NcclFailure and CudaFailure; after one only `end` makes sense.
    """

    def __init__(self, gpu: Gpu, *, rank: int, num_ranks: int) -> None:
        self.fingerprint = NO_FINGERPRINT
        self._gpu = gpu
        self._rank = rank
        self._num_ranks = num_ranks
        self._communicator = 0
        self._stream = gpu.cuda.new_stream()
        self._event = gpu.cuda.new_event()
        self._stage = Stretch(0, 0)

    def connect(self, unique_id: bytes, fingerprint: bytes) -> None:
        """Begins; `is_ready` when all ranks have. fingerprint: by which they know it as the same one."""
        self.fingerprint = fingerprint
        self._communicator = self._gpu.nccl.start_communicator(
            unique_id, rank=self._rank, num_ranks=self._num_ranks, max_ctas=_MAX_CTAS
        )

    def is_ready(self) -> bool:
        return self._gpu.nccl.is_ready(self._communicator)

    def start(self, stretches: Sequence[Stretch]) -> None:
        """As many bytes as at all other ranks; `finish` is next, when it `is_ready`."""
        nccl, communicator, stream = self._gpu.nccl, self._communicator, self._stream
        whole = self._in_a_row(stretches)
        if self._rank == 0 and len(stretches) > 1:
            self._copy(stretches, is_out=False)
        if self._num_ranks > 2:
            nccl.broadcast(communicator, whole, root=0, stream=stream)
        elif self._rank == 0:
            nccl.send(communicator, whole, to=1, stream=stream)
        else:
            nccl.receive(communicator, whole, frm=0, stream=stream)

    def finish(self, stretches: Sequence[Stretch]) -> None:
        """The bytes go where they belong, and then it `has_arrived`."""
        if self._rank > 0 and len(stretches) > 1:
            self._copy(stretches, is_out=True)
        self._gpu.cuda.record(self._event, self._stream)

    def has_arrived(self) -> bool:
        """Also whether anything has gone wrong, here or (where NCCL notices) at a peer."""
        return self._gpu.nccl.is_ready(self._communicator) and self._gpu.cuda.has_happened(self._event)

    def end(self) -> bool:
        """Aborts what is under way. False if the device does not let go: then nothing is given back."""
        try:
            if self._communicator:
                self._gpu.nccl.abort(self._communicator)
            if not self._is_idle_soon():
                return False
            self._gpu.cuda.destroy_event(self._event)
            self._gpu.cuda.destroy_stream(self._stream)
            if self._stage.num_bytes:
                self._gpu.cuda.free(self._stage.address)
        except (CudaFailure, NcclFailure):
            return False  # A device that has failed gives nothing back; the reason is known by then.
        return True

    def _is_idle_soon(self) -> bool:
        until_s = time.monotonic() + self._gpu.patience_s
        while not self._gpu.cuda.is_idle(self._stream):
            if time.monotonic() > until_s:
                return False
            time.sleep(_LOOK_S)
        return True

    def _in_a_row(self, stretches: Sequence[Stretch]) -> Stretch:
        """Where NCCL reads or writes: memory of its own if there are several."""
        if len(stretches) == 1:
            return stretches[0]
        num_bytes = sum(stretch.num_bytes for stretch in stretches)
        if self._stage.num_bytes < num_bytes:
            if self._stage.num_bytes:
                self._gpu.cuda.free(self._stage.address)
            self._stage = Stretch(self._gpu.cuda.allocate(num_bytes), num_bytes)
        return Stretch(self._stage.address, num_bytes)

    def _copy(self, stretches: Sequence[Stretch], *, is_out: bool) -> None:
        place = self._stage.address
        for one in stretches:
            source, target = (place, one.address) if is_out else (one.address, place)
            self._gpu.cuda.copy(source=source, target=target, num_bytes=one.num_bytes, stream=self._stream)
            place += one.num_bytes


@final
class Circuits:
    """Those that no channel uses, by the endpoints that they join. For any thread."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._lock = threading.Lock()
        self._idle: dict[tuple[Endpoint, ...], Circuit] = {}

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    def take(self, endpoints: tuple[Endpoint, ...]) -> Circuit | None:
        with self._lock:
            return self._idle.pop(endpoints, None)

    def keep(self, endpoints: tuple[Endpoint, ...], circuit: Circuit) -> None:
        with self._lock:
            older = self._idle.pop(endpoints, None)
            self._idle[endpoints] = circuit
        if older is not None:
            older.end()

    def close(self) -> None:
        with self._lock:
            circuits = list(self._idle.values())
            self._idle.clear()
        if circuits:
            self._gpu.cuda.use(self._gpu.ordinal)
        for circuit in circuits:
            circuit.end()
