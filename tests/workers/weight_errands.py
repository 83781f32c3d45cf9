"""What members of a crew do when models come to their groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from tests.resharding.transport.rigs import Rig
from workers.loading import Loader
from workers.multicast import Load, Multicast
from workers.spec import WorkerSpec


def load(
    rig: Rig,
    report: Callable[[Any], None],
    spec: WorkerSpec,
    expected: Sequence[str],
    multicasts: Sequence[Multicast],
    place: int = 0,
) -> tuple[list[Load], list[str]]:
    """How the models came, and which weights differ from those in the store."""
    loader = Loader(spec, place=place, transport=rig.transport)
    loader.read(expected=expected)
    report("read")
    loader.receive(multicasts)
    alone = Loader(spec, place=place)
    alone.read()
    faults = [
        f"{model}, stage {stage}: {parameter}"
        for model, stages in alone.weights.items()
        for stage, weights in stages.items()
        for parameter, array in weights.items()
        if not _are_equal(array, loader.weights[model][stage][parameter])
    ]
    return loader.loads, faults


def _are_equal(one: jax.Array, other: jax.Array) -> bool:
    return one.sharding == other.sharding and all(
        np.asarray(mine.data).tobytes() == np.asarray(theirs.data).tobytes()
        for mine, theirs in zip(one.addressable_shards, other.addressable_shards, strict=True)
    )
