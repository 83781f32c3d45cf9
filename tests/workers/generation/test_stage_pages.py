"""Pages move whole, whatever the layout of the backend: to the host and back, and to other pages."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from vocabulary.messages import PageMoves
from workers.attention.cudnn import CudnnAttention
from workers.attention.interface import AttentionBackend
from workers.attention.pallas_gpu import PallasGpuAttention
from workers.attention.xla import XlaAttention
from workers.families.family import KeyValueHeads
from workers.generation.stage_pages import PAGES_AT_ONCE, PageLayout, StagePages
from workers.stages import stage_mesh

NUM_PAGES, PAGE_TOKENS = 48, 2
# More than one call moves.
MANY = PAGES_AT_ONCE + 4


def filled(backend: AttentionBackend, num_devices: int = 1) -> StagePages:
    """Two layers; every page holds numbers of its own."""
    layout = PageLayout(
        num_layers=2,
        num_pages=NUM_PAGES,
        page_tokens=PAGE_TOKENS,
        heads=KeyValueHeads(2, 8, num_queries=2, num_units=2),
        dtype="float32",
        num_host_pages=30,
    )
    pages = StagePages(layout, backend, stage_mesh(jax.devices("cpu")[:num_devices]))
    slots = np.arange(NUM_PAGES * PAGE_TOKENS, dtype=np.int32)
    k_TKH = np.broadcast_to((slots // PAGE_TOKENS).astype(np.float32)[:, None, None], (len(slots), 2, 8))
    pages.caches = tuple(
        pages.backend.write(cache, k_TKH + 100 * layer, -k_TKH, slots)
        for layer, cache in enumerate(pages.caches)
    )
    return pages


def contents(pages: StagePages, layer: int) -> list[int]:
    """What the keys of each page hold, one number a page; values are checked to be the same negated."""
    found = []
    for page in range(NUM_PAGES):
        one = pages.backend.read_pages(pages.caches[layer], np.array([page], np.int32))
        (key,), (value,) = np.unique(one.k), np.unique(one.v)
        assert key - 100 * layer == -value
        found.append(int(key) - 100 * layer)
    return found


@pytest.mark.parametrize(
    "backend", [XlaAttention(), PallasGpuAttention(), CudnnAttention()], ids=lambda one: one.name
)
def test_moves_are_made_in_their_order_in_every_layer(backend):
    pages = filled(backend)
    pages.perform(
        PageMoves(
            to_host=tuple((page, page + 5) for page in range(MANY)),
            # The last that went comes back first; the others stay away.
            from_host=((MANY + 4, 0), (5, 40)),
            copies=((0, 1), (47, 2)),
        )
    )
    wanted = list(range(NUM_PAGES))
    wanted[0] = wanted[1] = MANY - 1
    wanted[40], wanted[2] = 0, 47
    assert contents(pages, 0) == wanted
    assert contents(pages, 1) == wanted


def test_pages_that_devices_share_come_back_whole():
    pages = filled(XlaAttention(), num_devices=2)
    away = tuple((page, page) for page in range(MANY))
    pages.perform(PageMoves(to_host=away))
    pages.perform(PageMoves(from_host=tuple((page, NUM_PAGES - 1 - page) for page, _ in away)))
    assert contents(pages, 1)[-MANY:] == list(reversed(range(MANY)))
    (k_shards,) = {shard.data.shape for shard in pages.caches[0].k.addressable_shards}
    assert k_shards[1] == 1


def test_a_model_without_places_on_the_host_still_copies():
    layout = PageLayout(1, 4, 2, KeyValueHeads(1, 2, num_queries=1, num_units=1), "float32")
    pages = StagePages(layout, XlaAttention(), stage_mesh(jax.devices("cpu")[:1]))
    pages.caches = tuple(
        pages.backend.write(c, np.ones((1, 1, 2)), np.ones((1, 1, 2)), np.array([0])) for c in pages.caches
    )
    pages.perform(PageMoves(copies=((0, 3),)))
    assert float(pages.caches[0].k[3].sum()) == 2.0
