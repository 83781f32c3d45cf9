"""What a backend passes before it serves: random sequences in shuffled pages, against loops in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import jax
import numpy as np
from jax import numpy as jnp

from workers.attention.interface import AttentionBackend
from workers.attention.reference import attend_one

# Largest error for values of size 1. 16-bit floats round the result, and some kernels what they sum up.
TOLERANCES = {"float32": 1e-4, "bfloat16": 4e-2, "float16": 8e-3}
# One token, parts of a page, whole pages, several blocks of pages (in pages; then tokens more).
_LENGTHS = ((0, 1), (0, 5), (2, 0), (9, 3), (20, 7))
_COLUMNS = 24
_TILE = 8


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """What one device computes. dtype: of the cache and of the queries, as numpy names it."""

    num_heads: int
    num_kv_heads: int
    head_width: int
    page_tokens: int
    dtype: str = "float32"


@lru_cache(maxsize=64)
def find_fault(
    backend: AttentionBackend, shape: AttentionShape, *, device: jax.Device | None = None
) -> str | None:
    """Why the backend cannot be used on the device, or None. Of a kernel nothing is known: all is caught."""
    tolerance = TOLERANCES.get(shape.dtype)
    if tolerance is None:
        return f"no tolerance is known for {shape.dtype}, only for {', '.join(TOLERANCES)}"
    try:
        with jax.default_device(device):
            error = _largest_error(backend, shape)
    except Exception as failure:
        return (
            f"{type(failure).__name__}: {str(failure).splitlines()[0][:200] if str(failure) else 'no words'}"
        )
    if not error <= tolerance:
        return f"its largest error is {error:.2g}, above {tolerance:.2g}"
    return None


def _largest_error(backend: AttentionBackend, shape: AttentionShape) -> float:
    """Of decode and of chunks; NaN if a result is not finite."""
    rng = np.random.default_rng(0)
    lengths = [
        min(pages * shape.page_tokens + more, _COLUMNS * shape.page_tokens) for pages, more in _LENGTHS
    ]
    # Padding besides, and pages for an even share each: some kernels ask for that.
    rows, num_pages = len(lengths) + 1, (len(lengths) + 1) * _COLUMNS
    tables = rng.permutation(num_pages).reshape(rows, _COLUMNS)
    kv_shape = (num_pages * shape.page_tokens, shape.num_kv_heads, shape.head_width)
    q_shape = (rows, _TILE, shape.num_heads, shape.head_width)
    k, v, q = (_rounded(rng.normal(size=size), shape.dtype) for size in (kv_shape, kv_shape, q_shape))
    starts = np.array([max(0, length - _TILE) for length in (*lengths, 0)])
    counts = np.array([*lengths, 0]) - starts
    decoded, chunked = _run(backend, shape, k, v, q, tables, starts, counts)
    worst = [0.0]
    for row, length in enumerate(lengths):
        slots = (tables[row][:, None] * shape.page_tokens + np.arange(shape.page_tokens)).reshape(-1)
        for b in range(counts[row]):
            seen = slots[: starts[row] + b + 1]
            right = attend_one(q[row, b], k[seen], v[seen])
            worst.append(np.abs(chunked[row, b] - right).max())
        seen = slots[:length]
        worst.append(np.abs(decoded[row] - attend_one(q[row, 0], k[seen], v[seen])).max())
    return float(np.max(worst)) if np.isfinite(decoded).all() and np.isfinite(chunked).all() else float("nan")


def _run(
    backend: AttentionBackend,
    shape: AttentionShape,
    k: np.ndarray,
    v: np.ndarray,
    q: np.ndarray,
    tables: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Results of decode (with the first query of every tile) and of chunks, as a step would ask for them."""

    @jax.jit
    def compute(k, v, q, tables, starts, counts):
        cache = backend.empty(
            num_pages=len(k) // shape.page_tokens,
            page_tokens=shape.page_tokens,
            num_kv_heads=shape.num_kv_heads,
            head_width=shape.head_width,
            dtype=shape.dtype,
        )
        cache = backend.write(cache, k, v, jnp.arange(len(k)))
        decoded = backend.decode(cache, q[:, 0], tables, starts + counts)
        return decoded, backend.chunks(cache, q, tables, starts, counts)

    floats = (jnp.asarray(x, shape.dtype) for x in (k, v, q))
    integers = (jnp.asarray(x, jnp.int32) for x in (tables, starts, counts))
    decoded, chunked = compute(*floats, *integers)
    return np.asarray(decoded, np.float32), np.asarray(chunked, np.float32)


def _rounded(x: np.ndarray, dtype: str) -> np.ndarray:
    """As the dtype holds them, so that only the computing can err."""
    return np.asarray(jnp.asarray(x, dtype), np.float32)
