"""Does constant + tokens + cached tokens tell what a step takes? Measured on a small Llama-shaped JAX model.

One jitted step as engines run it: a ragged axis of tokens (one of each decoding sequence, then the chunk of a
prompt) through the linear layers, keys and values in pages of 16. XLA compiles one program for each size, so
only bucket sizes are measured: a step between two buckets costs what the larger one costs. Half of the sizes
are fitted, the other half judge the fit. `by CPU` is processor time, which others on the machine touch less.
Left out: a lone token (XLA copies all pages for it on CPUs), and chunks so long for the width of the model
that attention inside them, which grows with the square, shows (256 tokens: 13 % above what is told).

    python -m benchmarks.step_times --out step_times.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.tables import markdown, table
from simulator.generation.step_times import fit_step_times

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, HIDDEN, VOCABULARY, PAGE = 4, 256, 8, 4, 32, 688, 1024, 16
# Decoding sequences, pages of each, tokens of a prompt's chunk.
SEQUENCES, PAGES, CHUNKS = (4, 8, 16, 32), (4, 8, 16, 32), (0, 32, 64, 128)
# Asked of the share of the variance explained, on sizes held out.
R2_BAR = 0.95


Layers = list[dict[str, jax.Array]]
# Tokens, their positions, where their keys and values go, and the pages of every decoding sequence.
Plan = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class Bucket(NamedTuple):
    """num_pages: of each sequence; num_chunk: tokens of a prompt, none of them cached."""

    num_sequences: int
    num_pages: int
    num_chunk: int


def weights() -> Layers:
    shapes = {"qkv": (WIDTH, (HEADS + 2 * KV_HEADS) * HEAD), "out": (HEADS * HEAD, WIDTH)}
    shapes |= {"gate_up": (WIDTH, 2 * HIDDEN), "down": (HIDDEN, WIDTH)}
    draw = np.random.default_rng(0).standard_normal
    return [{n: jnp.float32(draw(s) / s[0] ** 0.5) for n, s in shapes.items()} for _ in range(LAYERS)]


@partial(jax.jit, static_argnames="bucket", donate_argnames="pools")
def step(layers: Layers, embedding: jax.Array, pools: list[jax.Array], plan: Plan, *, bucket: Bucket):
    """The next token of every sequence, and the pools [pages, PAGE, 2, KV_HEADS, HEAD] with this step's."""
    tokens, positions, slots, tables = plan
    x, written = embedding[tokens], []
    for layer, pool in zip(layers, pools, strict=True):
        qkv = jnp.split(
            jax.nn.standardize(x) @ layer["qkv"], [HEADS * HEAD, (HEADS + KV_HEADS) * HEAD], axis=1
        )
        q, k, v = (part.reshape(len(tokens), -1, HEAD) for part in qkv)
        q, k = _rotated(q, positions), _rotated(k, positions)
        kv, num = jnp.stack([k, v], axis=1), bucket.num_sequences
        pool = pool.at[slots // PAGE, slots % PAGE].set(kv)
        # A sequence after the other, so that no copy of all their pages is made.
        attended = [jax.lax.map(partial(_decode, pool), (q[:num], tables))]
        if bucket.num_chunk:
            is_later = jnp.triu(jnp.full((bucket.num_chunk,) * 2, -jnp.inf), 1)
            attended.append(_attention(q[None, num:], kv[None, num:], is_later)[0])
        x = x + jnp.concatenate(attended).reshape(len(tokens), -1) @ layer["out"]
        gate, up = jnp.split(jax.nn.standardize(x) @ layer["gate_up"], 2, axis=1)
        x = x + (jax.nn.silu(gate) * up) @ layer["down"]
        written.append(pool)
    last = jax.nn.standardize(jnp.concatenate([x[: bucket.num_sequences], x[-1:]]))
    return jnp.argmax(last @ embedding.T, axis=1), written


def _rotated(x: jax.Array, positions: jax.Array) -> jax.Array:
    angles = positions[:, None, None] * 10_000.0 ** (-jnp.arange(HEAD // 2) / (HEAD // 2))
    left, right = jnp.split(x, 2, axis=-1)
    sin, cos = jnp.sin(angles), jnp.cos(angles)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)


def _decode(pool: jax.Array, sequence: tuple[jax.Array, jax.Array]) -> jax.Array:
    q, table = sequence
    return _attention(q[None, None], pool[table].reshape(1, -1, *pool.shape[2:]), 0.0)[0, 0]


def _attention(q: jax.Array, kv: jax.Array, mask: jax.Array | float) -> jax.Array:
    """Queries [sequences, tokens, HEADS, HEAD] on keys and values [sequences, tokens, 2, KV_HEADS, HEAD]."""
    grouped = q.reshape(*q.shape[:2], KV_HEADS, -1, HEAD)
    scores = jnp.einsum("stkgd,sukd->skgtu", grouped, kv[:, :, 0]) * HEAD**-0.5 + mask
    return jnp.einsum("skgtu,sukd->stkgd", jax.nn.softmax(scores), kv[:, :, 1]).reshape(q.shape)


def measure(rounds: int) -> list[tuple[int, int, float, float]]:
    """Of every bucket: tokens, cached tokens, median seconds by the clock and by CPU; interleaved."""
    buckets = [Bucket(*sizes) for sizes in product(SEQUENCES, PAGES, CHUNKS)]
    layers, embedding = weights(), jax.random.normal(jax.random.key(1), (VOCABULARY, WIDTH))
    num_pages = max(SEQUENCES) * max(PAGES) + max(CHUNKS) // PAGE
    pools = [jnp.zeros((num_pages, PAGE, 2, KV_HEADS, HEAD)) for _ in range(LAYERS)]
    random, seen_s = np.random.default_rng(0), {bucket: [] for bucket in buckets}
    for turn in range(rounds + 1):  # the first compiles
        for bucket in buckets:
            pages = random.permutation(num_pages)
            table = pages[: bucket.num_sequences * bucket.num_pages].reshape(bucket.num_sequences, -1)
            chunk_slots = (pages[::-1, None] * PAGE + np.arange(PAGE)).ravel()[: bucket.num_chunk]
            slots = np.concatenate([table[:, -1] * PAGE + PAGE - 1, chunk_slots])
            positions = np.r_[np.full(len(table), bucket.num_pages * PAGE - 1), range(bucket.num_chunk)]
            tokens = random.integers(0, VOCABULARY, bucket.num_sequences + bucket.num_chunk)
            plan = jax.device_put((tokens, positions, slots, table))
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            following, pools = step(layers, embedding, pools, plan, bucket=bucket)
            following.block_until_ready()
            if turn:
                seen_s[bucket].append((time.perf_counter() - wall_s, time.process_time() - cpu_s))
    counts = [(s + chunk, s * (pages * PAGE - 1)) for s, pages, chunk in buckets]
    return [(*one, *np.median(seen_s[bucket], axis=0)) for one, bucket in zip(counts, buckets, strict=True)]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--out", type=Path, help="JSON of all sizes and the fit")
    chosen = options.parse_args()
    rows = measure(chosen.rounds)
    document = {"device": jax.devices()[0].device_kind, "sizes": rows}
    fits: list[tuple[str, ...]] = []
    num_tokens, num_kv_tokens, wall_s, cpu_s = zip(*rows, strict=True)
    for seconds, clock in ((wall_s, "by the clock"), (cpu_s, "by CPU")):
        document[clock] = asdict(
            fit := fit_step_times(num_tokens, num_kv_tokens, seconds, held_out_share=0.5)
        )
        terms = {name: f"{1e6 * seconds:.2f} us" for name, seconds in asdict(fit.times).items()}
        verdict = "met" if fit.r2 >= R2_BAR else "missed"
        fits.append((clock, *terms.values(), f"{fit.r2:.4f}", verdict, f"{fit.mape:.1%}"))
    headings = ("seconds", *terms, "R2, held out", f"bar {R2_BAR}", "mean error")
    title = f"{len(rows)} sizes on {document['device']}, half of them held out"
    print(markdown(table(headings, fits, title=title)))
    if chosen.out:
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
