"""Random generators with names: what one draws does not depend on what another does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def generator(seed: int, *keys: int) -> np.random.Generator:
    """The generator of `keys` (a model, a model and a window, ...) under a seed; the same on any machine.

    Keys are 0 or more. A trailing 0 names nothing of its own: (seed, 1) and (seed, 1, 0) are one generator.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *keys))))


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every value sent to another that looks random (the finaliser of SplitMix64); one to one."""
    mixing = values + np.uint64(0x9E3779B97F4A7C15)
    mixing = (mixing ^ (mixing >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixing = (mixing ^ (mixing >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixing ^ (mixing >> np.uint64(31))
