"""Groups over several hosts: how weights come to new replicas, and what it costs that stages are apart.

python -m benchmarks.across_hosts [weights | pipeline ...]   (both, if none is named)

The hosts are processes of this machine; ports between them are emulated where it says so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resharding.transport.host import HostTransport
from resharding.transport.pacing import EmulatedNic
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec, Policy
from vocabulary.messages import Batch
from vocabulary.numpy_tensors import tensor_of
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from vocabulary.request import Request
from workers.multicast import Multicast, Replica
from workers.spec import WorkerSpec

if TYPE_CHECKING:
    from workers.engine import BatchResult

os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2", "NPROC": "1"}
NUM_ROUNDS = 5
NUM_BATCHES = 40
BATCH_SIZE, LENGTH = 8, 64
# Of a stage's time, what a batch takes on the emulated port.
TRANSFER_SHARES = (0.25, 0.5, 1.0)
_SPAWN = multiprocessing.get_context("spawn")


def main(arguments: Sequence[str]) -> int:
    parts = {"weights": measure_weights, "pipeline": measure_pipeline}
    parser = argparse.ArgumentParser(prog="benchmarks.across_hosts", description=__doc__)
    # argparse wants the empty list among the choices too.
    parser.add_argument("parts", nargs="*", choices=[*parts, []], metavar="PART")
    for name in parser.parse_args(arguments).parts or parts:
        parts[name]()
    return 0


def measure_weights() -> None:
    """A GPT-2 of 30 million parameters in float32, to one new replica and to three."""
    with tempfile.TemporaryDirectory() as folder:
        num_bytes = _write_checkpoint(Path(folder), "random://gpt2-medium?seed=1")
        print(f"{num_bytes / 1e6:.0f} MB of weights to new replicas, medians of {NUM_ROUNDS}\n")
        print("| way | new replicas | ms until the last has all |\n|---|---|---|")
        for num_new in (1, 3):
            for way, hosts in (("shared memory", ["a"] * 4), ("TCP on the loopback", list("abcd"))):
                seconds = _weights_s(folder, hosts[: num_new + 1])
                print(f"| from a replica, {way} | {num_new} | {1e3 * seconds['sent']:.0f} |")
            print(f"| from files that are in memory | {num_new} | {1e3 * seconds['read']:.0f} |")
    print()


def _weights_s(folder: str, hosts: Sequence[str]) -> dict[str, float]:
    configs = [ParallelConfig(2, 1), ParallelConfig(1, 2), ParallelConfig(2, 1), ParallelConfig(1, 1)]
    specs = [_spec(f"g{number}", configs[number], folder, num_hosts=1) for number in range(len(hosts))]
    members = [_Member(_weigh, spec, host) for spec, host in zip(specs, hosts, strict=True)]
    replicas = [Replica(spec.group, (one.result(),)) for spec, one in zip(specs, members, strict=True)]
    found: dict[str, list[float]] = {"sent": [], "read": []}
    for epoch in range(1, NUM_ROUNDS + 1):
        multicast = Multicast(("m",), (replicas[0],), tuple(replicas[1:]), epoch)
        for one in members:
            one.pipe.send(multicast)
        for one in members:
            one.result()  # It has read what it must.
        for one in members:
            one.pipe.send("go")
        times = [one.result() for one in members]
        for way in found:
            found[way].append(max(each[way] for each in times[1:]))
    for one in members:
        one.end()
    return {way: statistics.median(seconds) for way, seconds in found.items()}


def _weigh(pipe: Connection, spec: WorkerSpec, host: str, bytes_per_s: float | None) -> None:
    from workers.loading import Loader

    transport = HostTransport(host=host)
    pipe.send(transport.endpoint())
    while (multicast := pipe.recv()) is not None:
        is_new = multicast.is_target(spec.group.id)
        loader = Loader(spec, place=0, transport=transport)
        loader.read(expected=("m",) if is_new else ())
        pipe.send("read")
        pipe.recv()
        loader.receive([multicast])
        alone = Loader(spec, place=0)
        alone.read()
        pipe.send({"sent": loader.loads[0].seconds, "read": alone.loads[0].seconds})


def measure_pipeline() -> None:
    """A BERT of two stages in two processes, batch after batch, over a port that is emulated."""
    spec = _spec("g", ParallelConfig(1, 2), "random://bert-small?seed=1", num_hosts=2)
    stage_s = asyncio.run(
        _interval_s(replace(spec, group=_group("g", ParallelConfig(1, 2), 1)), None)
    ).stage_s
    num_bytes = BATCH_SIZE * LENGTH * 384 * 4
    print(f"{num_bytes / 1e6:.1f} MB of activations a batch, a stage takes {1e3 * stage_s:.1f} ms\n")
    print("| transfer / stage | ms a batch | slower stage | with its transfer |\n|---|---|---|---|")
    for share in TRANSFER_SHARES:
        found = asyncio.run(_interval_s(spec, num_bytes / (share * stage_s)))
        both_s = found.stage_s + share * stage_s
        times = (found.interval_s, found.stage_s, both_s)
        print(f"| {share:g} | {' | '.join(f'{1e3 * seconds:.1f}' for seconds in times)} |")


@dataclass(frozen=True, slots=True)
class _Found:
    """interval_s: from batch to batch; stage_s: of the slower stage."""

    interval_s: float
    stage_s: float


async def _interval_s(spec: WorkerSpec, bytes_per_s: float | None) -> _Found:
    from workers.jax_engine import JaxEngine

    follower = _Member(_follow, spec, "other", bytes_per_s) if bytes_per_s else None
    addresses = (follower.result(),) if follower else ()
    transport = HostTransport(host="one", nic=EmulatedNic(bytes_per_s) if bytes_per_s else None)
    engine = JaxEngine(
        replace(spec, followers=addresses), loop=asyncio.get_running_loop(), transport=transport
    )
    await asyncio.to_thread(engine.load)
    await asyncio.gather(*(_finished(engine, number) for number in range(4)))
    before_s, start_s = engine.stage_busy_s(), time.monotonic()
    await asyncio.gather(*(_finished(engine, number) for number in range(100, 100 + NUM_BATCHES)))
    interval_s = (time.monotonic() - start_s) / NUM_BATCHES
    await asyncio.sleep(3.0)  # the follower tells how busy it was
    busy_s = [after - before for after, before in zip(engine.stage_busy_s(), before_s, strict=True)]
    await asyncio.to_thread(engine.close)
    if follower:
        follower.end()
    return _Found(interval_s, max(busy_s) / NUM_BATCHES)


def _finished(engine: Any, number: int) -> asyncio.Future[BatchResult]:
    import numpy as np

    ids = np.full((BATCH_SIZE, LENGTH), 7, np.int32)
    request = (tensor_of("input_ids", ids),)
    future = asyncio.get_running_loop().create_future()
    batch = Batch(number, "m", (Request(number, "m", 0.0, 9.0),))
    engine.start(batch, (request,), start_s=0.0, stage_freed=lambda now_s: None, finished=future.set_result)
    return future


def _follow(pipe: Connection, spec: WorkerSpec, host: str, bytes_per_s: float | None) -> None:
    from workers.follower import Follower

    nic = EmulatedNic(bytes_per_s) if bytes_per_s else None
    follower = Follower(spec, place=1, transport=HostTransport(host=host, nic=nic))
    pipe.send(follower.listen())
    follower.wait()
    follower.stop()


class _Member:
    """A process, and what it says."""

    def __init__(self, target: Any, spec: WorkerSpec, host: str, bytes_per_s: float | None = None) -> None:
        self.pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=target, args=(theirs, spec, host, bytes_per_s), daemon=True)
        self._process.start()

    def result(self) -> Any:
        return self.pipe.recv()

    def end(self) -> None:
        self.pipe.send(None)
        self._process.join(20.0)
        self._process.kill()


def _spec(name: str, config: ParallelConfig, source: str, *, num_hosts: int) -> WorkerSpec:
    model = ModelSpec("m", source=source, engine="jax", batch_sizes=(BATCH_SIZE,), sequence_lengths=(LENGTH,))
    group = _group(name, config, num_hosts)
    return WorkerSpec(group, (model,), Catalog({}), Policy(), "jax", "cpu", "/", "a key", "")


def _group(name: str, config: ParallelConfig, num_hosts: int) -> Group:
    per_host = config.num_devices // num_hosts
    devices = tuple(
        f"{name}-{number // per_host}:{number % per_host}" for number in range(config.num_devices)
    )
    return Group(name, devices, config, ("m",))


def _write_checkpoint(folder: Path, source: str) -> int:
    from safetensors.numpy import save_file

    from workers.families import FAMILIES
    from workers.weights import open_source

    checkpoint = open_source(source, base_dir=folder)
    tensors = {
        name: checkpoint.read(name, (slice(None),) * len(shape)) for name, shape in checkpoint.shapes.items()
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(FAMILIES["gpt2"].sizes["medium"]))
    return sum(one.nbytes for one in tensors.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
