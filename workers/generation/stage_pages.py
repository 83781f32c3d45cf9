"""The pages of one stage's layers: on its devices, and those that wait in the host's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vocabulary.messages import PageMoves
from workers.attention.interface import AttentionBackend, Cache
from workers.families.family import TENSOR_AXIS, KeyValueHeads

# So many pages are moved by one call; further ones of the call are beyond the pool.
PAGES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class PageLayout:
    """What the pages of a stage are. num_host_pages: of as many layers, in the host's memory."""

    num_layers: int
    num_pages: int
    page_tokens: int
    heads: KeyValueHeads
    dtype: Any
    num_host_pages: int = 0


@final
class StagePages:
    """`caches` are those of the layers, in order: a step takes them, and what it gives takes their place.

    Used by one thread at a time.
    """

    def __init__(self, layout: PageLayout, backend: AttentionBackend, mesh: Mesh) -> None:
        self._layout = layout
        self._num_parts = layout.heads.num_parts(mesh.size)
        axis = TENSOR_AXIS if self._num_parts == mesh.size else None
        self.backend = backend.on_mesh(mesh, axis)
        self._replicated = NamedSharding(mesh, PartitionSpec())
        one = jax.tree.map(
            lambda spec: NamedSharding(mesh, spec),
            self.backend.spec(axis),
            is_leaf=lambda leaf: isinstance(leaf, PartitionSpec),
        )
        self.shardings: tuple[Cache, ...] = (one,) * layout.num_layers
        self.caches: tuple[Cache, ...] = jax.jit(
            lambda: self._empty(layout.num_pages), out_shardings=self.shardings
        )()
        structs = jax.eval_shape(lambda: self._empty(layout.num_host_pages))
        # The system gives memory when a page of it is written for the first time.
        self._host = jax.tree.map(lambda struct: np.empty(struct.shape, struct.dtype), structs)
        self._dims = _page_dims(lambda count: self._empty(count))
        self._calls: dict[str, Callable[..., Any]] = {}
        self.num_compiles = 0

    @property
    def bytes_per_token(self) -> int:
        """Of keys and values of one token in all layers, on each device of the stage."""
        heads, layers = self._layout.heads, self._layout.num_layers
        width = 2 * heads.count * heads.width // self._num_parts
        return layers * width * np.dtype(self._layout.dtype).itemsize

    def are_there(self) -> bool:
        """False once a step that failed on the devices has taken them along: it was given them for good."""
        caches = jax.tree.leaves(self.caches)
        try:
            jax.block_until_ready(caches)
        except RuntimeError:
            return False
        return not any(array.is_deleted() for array in caches)

    def compile(self) -> None:
        """All that moves need. Blocks."""
        ids = jax.ShapeDtypeStruct((PAGES_AT_ONCE,), np.int32, sharding=self._replicated)
        read = jax.jit(self._read, out_shardings=self.shardings).lower(self.caches, ids)
        self._calls["read"] = read.compile()
        values = jax.tree.map(
            lambda struct, sharding: jax.ShapeDtypeStruct(struct.shape, struct.dtype, sharding=sharding),
            jax.eval_shape(self._read, self.caches, ids),
            self.shardings,
        )
        donating = partial(jax.jit, donate_argnums=0, out_shardings=self.shardings)
        self._calls["write"] = donating(self._write).lower(self.caches, ids, values).compile()
        self._calls["copy"] = donating(self._copy).lower(self.caches, ids, ids).compile()
        self.num_compiles += 3

    def release(self) -> None:
        """Nothing is moved any more; the pages on the host go at once, those on the devices were given."""
        self._host = ()
        self._calls.clear()

    def perform(self, moves: PageMoves) -> None:
        """In their order. Blocks only for pages that go to the host."""
        if not self._calls:
            self.compile()
        for pages, host_pages in _at_once(moves.to_host):
            self._store(pages, host_pages)
        for host_pages, pages in _at_once(moves.from_host):
            values = jax.tree.map(partial(_taken, host_pages), self._host, self._dims)
            self.caches = self._calls["write"](self.caches, self._ids(pages), self._padded(values))
        for origins, targets in _at_once(moves.copies):
            self.caches = self._calls["copy"](self.caches, self._ids(origins), self._ids(targets))

    def _store(self, pages: np.ndarray, host_pages: np.ndarray) -> None:
        values = jax.device_get(self._calls["read"](self.caches, self._ids(pages)))

        def store(host: np.ndarray, value: np.ndarray, dim: int) -> None:
            np.moveaxis(host, dim, 0)[host_pages] = np.moveaxis(value, dim, 0)[: len(host_pages)]

        jax.tree.map(store, self._host, values, self._dims)

    def _ids(self, pages: np.ndarray) -> np.ndarray:
        """Filled up with pages that are not there."""
        ids = np.full(PAGES_AT_ONCE, self._layout.num_pages, np.int32)
        ids[: len(pages)] = pages
        return ids

    def _padded(self, values: Any) -> Any:
        """Of the shape that was compiled, on the stage's devices."""

        def padded(value: np.ndarray, dim: int) -> np.ndarray:
            missing = PAGES_AT_ONCE - value.shape[dim]
            return np.pad(value, [(0, missing if at == dim else 0) for at in range(value.ndim)])

        return jax.device_put(jax.tree.map(padded, values, self._dims), self.shardings)

    def _empty(self, num_pages: int) -> tuple[Cache, ...]:
        layout = self._layout
        one = partial(
            self.backend.empty,
            num_pages=num_pages,
            page_tokens=layout.page_tokens,
            num_kv_heads=layout.heads.count,
            head_width=layout.heads.width,
            dtype=layout.dtype,
        )
        return tuple(one() for _ in range(layout.num_layers))

    def _read(self, caches: tuple[Cache, ...], ids: jax.Array) -> tuple[Cache, ...]:
        return tuple(self.backend.read_pages(cache, ids) for cache in caches)

    def _write(self, caches: tuple[Cache, ...], ids: jax.Array, values: Any) -> tuple[Cache, ...]:
        return tuple(
            self.backend.write_pages(cache, ids, value) for cache, value in zip(caches, values, strict=True)
        )

    def _copy(self, caches: tuple[Cache, ...], origins: jax.Array, targets: jax.Array) -> tuple[Cache, ...]:
        return self._write(caches, targets, self._read(caches, origins))


def _page_dims(empty: Callable[[int], Any]) -> Any:
    """Which dimension of each array of the caches counts pages: the backend's layout is its own."""
    two, three = (jax.eval_shape(partial(empty, count)) for count in (2, 3))
    return jax.tree.map(
        lambda a, b: next(dim for dim in range(a.ndim) if a.shape[dim] != b.shape[dim]), two, three
    )


def _taken(pages: np.ndarray, array: np.ndarray, dim: int) -> np.ndarray:
    return np.take(array, pages, axis=dim)


def _at_once(moves: Sequence[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """From and to, of as many moves as one call does."""
    columns = np.array(moves, np.int32).reshape(-1, 2)
    groups = [columns[first : first + PAGES_AT_ONCE] for first in range(0, len(columns), PAGES_AT_ONCE)]
    return [(group[:, 0], group[:, 1]) for group in groups]
