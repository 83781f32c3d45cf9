"""Paged attention by loops in float64, and random cases of it. Suffixes: workers/attention/interface.py."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp

from workers.attention.interface import AttentionBackend, Cache
from workers.attention.reference import attend_one


@dataclass(frozen=True, slots=True)
class Case:
    """Sequences with all their keys and values, where their pages lie, and a query for every token."""

    k: tuple[np.ndarray, ...]  # of each sequence [tokens, K, H]
    v: tuple[np.ndarray, ...]
    q: tuple[np.ndarray, ...]  # [tokens, N, H]
    tables_SM: np.ndarray
    num_pages: int
    page_tokens: int

    @property
    def lengths(self) -> list[int]:
        return [len(k) for k in self.k]

    def expected(self, sequence: int, position: int) -> np.ndarray:
        """mixed_NH of the token at a position of a sequence."""
        return attend_one(
            self.q[sequence][position], self.k[sequence][: position + 1], self.v[sequence][: position + 1]
        )

    def cache(self, backend: AttentionBackend, dtype: str = "float32") -> Cache:
        """With all tokens written, in one shuffled call, among padding of NaN."""
        _, num_kv_heads, head_width = self.k[0].shape
        empty = backend.empty(
            num_pages=self.num_pages,
            page_tokens=self.page_tokens,
            num_kv_heads=num_kv_heads,
            head_width=head_width,
            dtype=dtype,
        )
        slots = np.concatenate([self.slots(s) for s in range(len(self.k))] + [[self.num_slots] * 3])
        order = np.random.default_rng(5).permutation(len(slots))
        pad = np.full((3, num_kv_heads, head_width), np.nan)
        k, v = np.concatenate([*self.k, pad])[order], np.concatenate([*self.v, pad])[order]
        return backend.write(
            empty, jnp.asarray(k, dtype), jnp.asarray(v, dtype), jnp.asarray(slots[order], jnp.int32)
        )

    @property
    def num_slots(self) -> int:
        return self.num_pages * self.page_tokens

    def slots(self, sequence: int) -> np.ndarray:
        at = np.arange(self.lengths[sequence])
        pages = self.tables_SM[sequence, at // self.page_tokens]
        return pages * self.page_tokens + at % self.page_tokens


def case(
    lengths: list[int],
    *,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    head_width: int = 8,
    page_tokens: int = 4,
) -> Case:
    """Random content and a random order of pages; columns that are not needed hold nonsense."""
    rng = np.random.default_rng(sum(lengths) + num_heads)
    num_pages = sum(-(-n // page_tokens) for n in lengths) + 3
    columns = max(-(-n // page_tokens) for n in lengths) + 3
    free = iter(rng.permutation(num_pages))
    tables = rng.integers(-5, 10 * num_pages, (len(lengths), columns))
    for row, length in enumerate(lengths):
        for column in range(-(-length // page_tokens)):
            tables[row, column] = next(free)

    def draw(heads: int) -> tuple[np.ndarray, ...]:
        return tuple(rng.normal(size=(n, heads, head_width)).astype(np.float32) for n in lengths)

    return Case(
        k=draw(num_kv_heads),
        v=draw(num_kv_heads),
        q=draw(num_heads),
        tables_SM=tables.astype(np.int32),
        num_pages=num_pages,
        page_tokens=page_tokens,
    )


def decode_all(backend: AttentionBackend, case: Case, *, dtype: str = "float32") -> np.ndarray:
    """mixed_SNH of the last token of every sequence, and of one row of padding."""
    q = np.stack([q[-1] for q in case.q] + [case.q[0][0]])
    tables = np.concatenate([case.tables_SM, case.tables_SM[:1]])
    return np.asarray(
        jax.jit(backend.decode)(
            case.cache(backend, dtype),
            jnp.asarray(q, dtype),
            jnp.asarray(tables),
            jnp.asarray([*case.lengths, 0], jnp.int32),
        ),
        np.float32,
    )


def chunk_all(backend: AttentionBackend, case: Case, *, tile: int, starts: list[int]) -> np.ndarray:
    """mixed_CBNH of a tile from each sequence's start, at most to its end."""
    counts = [min(tile, length - start) for length, start in zip(case.lengths, starts, strict=True)]
    q = np.zeros((len(starts), tile, *case.q[0].shape[1:]), np.float32)
    for c, (start, count) in enumerate(zip(starts, counts, strict=True)):
        q[c, :count] = case.q[c][start : start + count]
    return np.asarray(
        jax.jit(backend.chunks)(
            case.cache(backend),
            jnp.asarray(q),
            jnp.asarray(case.tables_SM),
            jnp.asarray(starts, jnp.int32),
            jnp.asarray(counts, jnp.int32),
        )
    )
