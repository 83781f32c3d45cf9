"""A Llama with random weights on one device: how near decode comes to its memory, prefill to its arithmetic.

`python -m benchmarks.generation_device --sizes 1b 8b` where a GPU is; without arguments a tiny model on
whatever JAX finds. First attention alone: every backend that passes its self-test, in every type. Then steps
of the engine's own model. Shares are of the vendor's peaks, blank where those are not known. Prints a table,
and JSON with -o.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import msgspec
import numpy as np
from jax import numpy as jnp

from benchmarks.device_peaks import Peaks, peaks_of
from benchmarks.generation_device_model import SIZES, Sizes, open_model, prompt_step, rows_step
from workers.attention.interface import AttentionBackend
from workers.attention.select import CANDIDATES
from workers.attention.self_test import AttentionShape, find_fault
from workers.generation.host_step import HostStep
from workers.generation.model import GeneratingModel

PAGE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement. bytes and flop: the least that must be read and computed, of one call."""

    what: str
    size: str
    backend: str
    dtype: str
    rows: int
    context: int
    tokens: int
    seconds: float
    bytes: float
    flop: float

    def shares(self, peaks: Peaks | None) -> tuple[float | None, float | None]:
        """Of the memory's bandwidth, and of the arithmetic in this type."""
        if peaks is None:
            return None, None
        return (
            self.bytes / self.seconds / peaks.memory_bytes_per_s,
            self.flop / self.seconds / peaks.flop_per_s[self.dtype],
        )


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    device = jax.devices()[0]
    peaks = peaks_of(device.device_kind)
    print(f"{device.device_kind}, jax {jax.__version__}; median of {options.rounds} calls\n")
    print("| what | size | backend | type | rows | context | ms | tokens/s | bandwidth | arithmetic |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    points = []
    for point in measure(options):
        points.append(point)
        print(row(point, peaks), flush=True)
    if options.output is not None:
        document = {"device": device.device_kind, "points": [asdict(point) for point in points]}
        options.output.write_bytes(msgspec.json.format(msgspec.json.encode(document)))
    return 0


def row(point: Point, peaks: Peaks | None) -> str:
    shares = ["" if share is None else f"{share:.1%}" for share in point.shares(peaks)]
    cells = [
        point.what, point.size, point.backend, point.dtype, point.rows, point.context,
        f"{point.seconds * 1e3:.3f}", f"{point.tokens / point.seconds:.0f}", *shares,
    ]  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def measure(options: argparse.Namespace) -> Iterator[Point]:
    """Attention alone, then whole models, one backend after the other."""
    for size in options.sizes:
        for dtype in options.dtypes:
            for backend in _passing(SIZES[size], dtype):
                for rows in options.rows:
                    yield _decode_of_a_layer(backend, size, dtype, rows, options)
                yield _chunk_of_a_layer(backend, size, dtype, options)
    if not options.attention_only:
        for size in options.sizes:
            for dtype in options.dtypes:
                for backend in _passing(SIZES[size], dtype):
                    yield from _steps(backend, size, dtype, options)


def _passing(sizes: Sizes, dtype: str) -> Iterator[AttentionBackend]:
    shape = AttentionShape(sizes.num_heads, sizes.num_kv_heads, sizes.head_width, PAGE_TOKENS, dtype)
    for backend in CANDIDATES[jax.default_backend()]:
        fault = find_fault(backend, shape)
        if fault is None:
            yield backend
        else:
            print(f"not measured: {backend.name} in {dtype}: {fault}", file=sys.stderr)


def _decode_of_a_layer(
    backend: AttentionBackend, size: str, dtype: str, rows: int, options: argparse.Namespace
) -> Point:
    sizes, context = SIZES[size], options.context
    columns = context // PAGE_TOKENS
    cache, random = _filled(backend, sizes, dtype, num_pages=rows * columns)
    q = jnp.asarray(random.normal(size=(rows, sizes.num_heads, sizes.head_width)), dtype)
    tables = jnp.asarray(random.permutation(rows * columns).reshape(rows, columns), jnp.int32)
    lengths = jnp.full(rows, context, jnp.int32)
    decode = jax.jit(backend.decode)
    seconds = _median_s(lambda: decode(cache, q, tables, lengths), options.rounds)
    return Point(
        "decode, 1 layer", size, backend.name, dtype, rows, context, rows, seconds,
        bytes=rows * context * sizes.kv_elements * jnp.dtype(dtype).itemsize,
        flop=4 * rows * context * sizes.num_heads * sizes.head_width,
    )  # fmt: skip


def _chunk_of_a_layer(backend: AttentionBackend, size: str, dtype: str, options: argparse.Namespace) -> Point:
    """The last `chunk` tokens of one context, in the tiles of 64 that the engine makes."""
    sizes, context, chunk = SIZES[size], options.context, min(options.chunk, options.context)
    columns, tile = context // PAGE_TOKENS, min(64, chunk)
    tiles = chunk // tile
    cache, random = _filled(backend, sizes, dtype, num_pages=columns)
    q = jnp.asarray(random.normal(size=(tiles, tile, sizes.num_heads, sizes.head_width)), dtype)
    tables = jnp.asarray(np.tile(random.permutation(columns), (tiles, 1)), jnp.int32)
    starts = context - chunk + tile * jnp.arange(tiles, dtype=jnp.int32)
    chunks = jax.jit(backend.chunks)
    seconds = _median_s(
        lambda: chunks(cache, q, tables, starts, jnp.full(tiles, tile, jnp.int32)), options.rounds
    )
    seen = sum(range(context - chunk + 1, context + 1))
    return Point(
        "chunk, 1 layer", size, backend.name, dtype, 1, context, chunk, seconds,
        bytes=context * sizes.kv_elements * jnp.dtype(dtype).itemsize,
        flop=4 * seen * sizes.num_heads * sizes.head_width,
    )  # fmt: skip


def _filled(backend: AttentionBackend, sizes: Sizes, dtype: str, *, num_pages: int):
    """A pool of one layer of random keys and values, and the generator."""
    random = np.random.default_rng(0)
    empty = backend.empty(
        num_pages=num_pages,
        page_tokens=PAGE_TOKENS,
        num_kv_heads=sizes.num_kv_heads,
        head_width=sizes.head_width,
        dtype=dtype,
    )
    return jax.tree.map(lambda x: jax.random.normal(jax.random.key(0), x.shape, x.dtype), empty), random


def _steps(backend: AttentionBackend, size: str, dtype: str, options: argparse.Namespace) -> Iterator[Point]:
    """Of the engine's own model, its packing and its greedy draws included."""
    sizes, context = SIZES[size], options.context
    model = open_model(
        sizes,
        backend,
        max_rows=max(options.rows),
        chunk=options.chunk,
        context=context,
        page_tokens=PAGE_TOKENS,
        dtype=dtype,
    )
    itemsize = jnp.dtype(dtype).itemsize
    for rows in options.rows:
        seconds = _step_s(model, rows_step(model, rows=rows, context=context), options.rounds)
        yield Point(
            "decode step", size, backend.name, dtype, rows, context, rows, seconds,
            bytes=itemsize * (sizes.read_elements + rows * context * sizes.kv_elements * sizes.num_layers),
            flop=rows * (2 * sizes.read_elements + sizes.attention_flop(context)),
        )  # fmt: skip
    chunk = min(options.chunk, context)
    seconds = _step_s(model, prompt_step(model, tokens=chunk), options.rounds)
    yield Point(
        "prefill step", size, backend.name, dtype, 1, chunk, chunk, seconds,
        bytes=itemsize * sizes.read_elements,
        flop=chunk * (2 * sizes.layer_elements * sizes.num_layers + sizes.attention_flop(chunk / 2)),
    )  # fmt: skip


def _step_s(model: GeneratingModel, step: HostStep, rounds: int) -> float:
    return _median_s(lambda: model.drawn(model.run(model.pack(step))).tokens, rounds)


def _median_s(call: Callable[[], object], rounds: int) -> float:
    """After two calls, the first of which compiles."""
    for _ in range(2):
        jax.block_until_ready(call())
    seconds = []
    for _ in range(rounds):
        start_s = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start_s)
    return statistics.median(seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["tiny"])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8], help="sequences that decode")
    parser.add_argument("--context", type=int, default=256, help="tokens of each, a multiple of 64")
    parser.add_argument("--chunk", type=int, default=128, help="tokens of a prompt in one step")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--attention-only", action="store_true", help="no whole models")
    parser.add_argument("-o", "--output", type=Path, help="JSON of all measurements")
    return parser


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
