"""The host transport: shared memory against a copy in one process, and chains over an emulated slow port.

python -m benchmarks.transport [shared | network | chain ...]   (all, if none is named)
python -m benchmarks.transport --transport nccl                 (on the GPUs of this machine)
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import numpy as np

from benchmarks.nccl_transport import measure_nccl
from resharding.transport.endpoints import Endpoint
from resharding.transport.host import HostTransport
from resharding.transport.host_channel import HostChannel
from resharding.transport.pacing import EmulatedNic

NUM_ROUNDS = 15
COPY_BYTES = 2**26
# At least so much of the bandwidth of a copy.
SHARED_BAR = 0.5
CHAIN_BYTES = 2**24
CHAIN_RECEIVERS = 3
NIC_BYTES_PER_S = 60e6
NUM_CHAIN_ROUNDS = 5
# At most so many times the formula (K + A - 1) / K * s / B.
CHAIN_BAR = 1.15
_SPAWN = multiprocessing.get_context("spawn")


def main(arguments: Sequence[str]) -> int:
    parts = {"shared": measure_shared, "network": measure_network, "chain": measure_chain}
    parser = argparse.ArgumentParser(prog="benchmarks.transport", description=__doc__)
    # argparse wants the empty list among the choices too.
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="PART")
    parser.add_argument("--transport", choices=["host", "nccl"], default="host")
    parser.add_argument("--library", help="for nccl: one library with all of CUDA's and NCCL's functions")
    asked = parser.parse_args(arguments)
    if asked.transport == "nccl":
        return 0 if measure_nccl(asked.library) else 1
    results = [parts[name]() for name in asked.parts or parts]
    return 0 if all(results) else 1


def measure_shared() -> bool:
    """To another process of this host, from memory of any kind and from the arena."""
    ordinary_s, arena_s, copy_s = _interleaved(hosts=("here", "here"))
    print(f"64 MiB to another process of the host, medians of {NUM_ROUNDS}, interleaved\n")
    print("| way | ms | GB/s | of a copy |\n|---|---|---|---|")
    for name, seconds in (("np.copyto in one process", copy_s), ("from the arena", arena_s)):
        _print_row(name, seconds, copy_s)
    _print_row("from any array", ordinary_s, copy_s)
    shares = [_paired(copy_s, way) for way in (arena_s, ordinary_s)]
    is_met = min(shares) >= SHARED_BAR
    print(f"\n{shares[0]:.2f} and {shares[1]:.2f} of a copy, paired (bar {SHARED_BAR:g}: {_met(is_met)})\n")
    return is_met


def measure_network() -> bool:
    """The same over TCP on the loopback, and what its checksum costs."""
    sent_s, _, copy_s = _interleaved(hosts=("here", "there"))
    print(
        "64 MiB over TCP on the loopback, checksummed\n\n| way | ms | GB/s | of a copy |\n|---|---|---|---|"
    )
    _print_row("np.copyto in one process", copy_s, copy_s)
    _print_row("TCP", sent_s, copy_s)
    array = np.zeros(COPY_BYTES, np.uint8)
    _print_row("CRC-32 alone", [_seconds(lambda: zlib.crc32(array)) for _ in range(NUM_ROUNDS)], copy_s)
    print()
    return True


def measure_chain() -> bool:
    """Four processes that are hosts of their own: 16 MiB from one to three, in several numbers of chunks."""
    print(
        f"16 MiB to {CHAIN_RECEIVERS} hosts, {NIC_BYTES_PER_S / 1e6:g} MB/s, medians of {NUM_CHAIN_ROUNDS}\n"
    )
    print("| chunks | ms | formula ms | times the formula | times s/B |\n|---|---|---|---|---|")
    worst = 0.0
    with _Peers([f"host {number}" for number in range(CHAIN_RECEIVERS + 1)], nic=NIC_BYTES_PER_S) as peers:
        for num_chunks in (16, 32, 64):
            seconds = statistics.median(peers.chain(num_chunks, number) for number in range(NUM_CHAIN_ROUNDS))
            one_s = CHAIN_BYTES / NIC_BYTES_PER_S
            formula_s = (num_chunks + CHAIN_RECEIVERS - 1) / num_chunks * one_s
            worst = max(worst, seconds / formula_s)
            row = (seconds * 1e3, formula_s * 1e3, seconds / formula_s, seconds / one_s)
            print(f"| {num_chunks} | " + " | ".join(f"{value:.3g}" for value in row) + " |")
    print(f"\nat worst {worst:.3f} times the formula (bar {CHAIN_BAR:g}: {_met(worst <= CHAIN_BAR)})\n")
    return worst <= CHAIN_BAR


class _Peers:
    """This process as the first member of a group, and others in processes of their own."""

    def __init__(self, hosts: Sequence[str], *, nic: float | None = None) -> None:
        self.transport = _transport(hosts[0], nic)
        self._pipes, self._processes = [], []
        for host in hosts[1:]:
            pipe, theirs = _SPAWN.Pipe()
            self._processes.append(_SPAWN.Process(target=_take_part, args=(theirs, host, nic), daemon=True))
            self._processes[-1].start()
            self._pipes.append(pipe)
        group = (self.transport.endpoint(), *(pipe.recv() for pipe in self._pipes))
        for pipe in self._pipes:
            pipe.send(group)
        self.channel = self.transport.open(group, 1)
        self._tag = 0

    def __enter__(self) -> _Peers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()
        self.transport.close()

    def send(self, array: np.ndarray) -> float:
        """Seconds until the other has it all where it wants it."""
        tag = self._ask("take", array.nbytes, 0)
        return _seconds(lambda: self.channel.send(array, to=1, tag=tag).wait())

    def chain(self, num_chunks: int, seed: int) -> float:
        """Seconds until all have it; every copy is checked."""
        array = np.random.default_rng(seed).integers(0, 256, CHAIN_BYTES, dtype=np.uint8)
        chunk_bytes = CHAIN_BYTES // num_chunks
        tag = self._ask("chain", CHAIN_BYTES, chunk_bytes)
        order = range(len(self._pipes) + 1)
        multicast = self.channel.multicast
        seconds = _seconds(lambda: multicast(array, chain=order, chunk_bytes=chunk_bytes, tag=tag).wait())
        assert {pipe.recv() for pipe in self._pipes} == {zlib.crc32(array)}
        return seconds

    def _ask(self, what: str, num_bytes: int, chunk_bytes: int) -> int:
        """All others are told, and ready for it."""
        self._tag += 1
        for pipe in self._pipes:
            pipe.send((what, num_bytes, chunk_bytes, self._tag))
        for pipe in self._pipes:
            pipe.recv()
        return self._tag


def _interleaved(*, hosts: Sequence[str]) -> tuple[list[float], list[float], list[float]]:
    """Seconds of sends from ordinary memory, from the arena, and of copies, by round."""
    times: tuple[list[float], ...] = ([], [], [])
    with _Peers(hosts) as peers:
        ordinary = np.random.default_rng(0).integers(0, 256, COPY_BYTES, dtype=np.uint8)
        shared = peers.transport.arena.empty((COPY_BYTES,), np.uint8)
        copied = ordinary.copy()
        ways = (
            lambda: peers.send(ordinary),
            lambda: peers.send(shared),
            lambda: _seconds(lambda: np.copyto(copied, ordinary)),
        )
        shared[:] = ordinary
        for _ in range(NUM_ROUNDS + 1):
            for way, seconds in zip(ways, times, strict=True):
                seconds.append(way())
    # The first round maps memory and dials.
    return tuple(seconds[1:] for seconds in times)  # type: ignore[return-value]


def _take_part(pipe: Connection, host: str, nic: float | None) -> None:
    transport = _transport(host, nic)
    pipe.send(transport.endpoint())
    group: tuple[Endpoint, ...] = pipe.recv()
    channel = transport.open(group, 1)
    buffers: dict[int, np.ndarray] = {}
    while (asked := pipe.recv()) is not None:
        what, num_bytes, chunk_bytes, tag = asked
        buffer = buffers.setdefault(num_bytes, np.zeros(num_bytes, np.uint8))
        if what == "take":
            work = channel.recv(buffer, frm=0, tag=tag)
            pipe.send("ready")
            work.wait()
        else:
            _pass_on(channel, pipe, buffer, len(group), chunk_bytes, tag)
    transport.close()


def _pass_on(
    channel: HostChannel, pipe: Connection, buffer: np.ndarray, num_members: int, chunk_bytes: int, tag: int
) -> None:
    work = channel.multicast(buffer, chain=range(num_members), chunk_bytes=chunk_bytes, tag=tag)
    pipe.send("ready")
    work.wait()
    pipe.send(zlib.crc32(buffer))


def _transport(host: str, nic: float | None) -> HostTransport:
    return HostTransport(host=host, timeout_s=60.0, nic=EmulatedNic(nic) if nic else None)


def _seconds(action: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    action()
    return time.perf_counter() - start_s


def _print_row(name: str, seconds: Sequence[float], copy_s: Sequence[float]) -> None:
    middle_s = statistics.median(seconds)
    share = _paired(copy_s, seconds)
    print(f"| {name} | {middle_s * 1e3:.1f} | {COPY_BYTES / middle_s / 1e9:.2f} | {share:.2f} |")


def _paired(copy_s: Sequence[float], seconds: Sequence[float]) -> float:
    """Bandwidth by that of the copy of the same round, in the median."""
    return statistics.median(copy / one for copy, one in zip(copy_s, seconds, strict=True))


def _met(is_met: bool) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
