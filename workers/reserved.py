"""What ready models have reserved on the devices of their process, array by array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain

import jax

from workers.generation.model import GeneratingModel
from workers.model import ShardedModel, StageWeights
from workers.python_model import PythonModel

# (array, device) -> bytes. Functions of one file share their arrays, which count once.
Reserved = Mapping[tuple[object, int], int]


def reserved_by(
    name: str, model: ShardedModel | GeneratingModel | PythonModel, weights: StageWeights
) -> Reserved:
    """Of a model that is ready and does not serve yet: weights, pages of keys and values. Buffers and what a
    batch needs while it runs are not in it."""
    if isinstance(model, PythonModel):
        return _sizes((id(array), array) for array in model.arrays())
    pages = model.pages() if isinstance(model, GeneratingModel) else ()
    arrays = chain((array for stage in weights.values() for array in stage.values()), pages)
    return _sizes(((name, number), array) for number, array in enumerate(arrays))


def bytes_of_devices(models: Iterable[Reserved]) -> Counter[int]:
    """By the device's id."""
    held: Counter[int] = Counter()
    for (_, device), num_bytes in dict(chain.from_iterable(one.items() for one in models)).items():
        held[device] += num_bytes
    return held


def _sizes(arrays: Iterable[tuple[object, jax.Array]]) -> Reserved:
    return {
        (key, shard.device.id): shard.data.nbytes
        for key, array in arrays
        for shard in array.addressable_shards
    }
