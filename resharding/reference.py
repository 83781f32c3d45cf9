"""The oracle: what a resharding must give, in numpy, one tile at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from resharding.boxes import Box
from resharding.plan import Copy


def scatter(array: np.ndarray, boxes: Mapping[int, Box]) -> Mapping[int, np.ndarray]:
    """The tile of every device, by slicing the whole array."""
    return {device: array[box.slices()] for device, box in boxes.items()}


def perform(
    copies: Iterable[Copy],
    tiles: Mapping[int, np.ndarray],
    *,
    source: Mapping[int, Box],
    target: Mapping[int, Box],
) -> Mapping[int, np.ndarray]:
    """The target tiles after `copies`; asserts that every element was written exactly once."""
    dtype = next(iter(tiles.values())).dtype
    filled = {device: np.zeros(box.shape, dtype) for device, box in target.items()}
    writes = {device: np.zeros(box.shape, np.int64) for device, box in target.items()}
    for copy in copies:
        place = copy.box.slices(origin=target[copy.target].start)
        filled[copy.target][place] = tiles[copy.source][copy.box.slices(origin=source[copy.source].start)]
        writes[copy.target][place] += 1
    for device, count in writes.items():
        assert (count == 1).all(), (
            f"device {device}: an element was written {count.min()} to {count.max()} times"
        )
    return filled
