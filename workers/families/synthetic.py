"""`random://<family>-<size>?seed=N`: a model of a family with weights drawn from a seed, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import final
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.families import FAMILIES
from workers.families.family import Family

# Spread of weights. Below 0.1 outputs hardly depend on inputs, and a wrong operator would not show.
INITIALIZER_RANGE = 0.1


@final
class RandomCheckpoint:
    """Tensor `name` depends on seed and name alone, so any process can draw its own part of a model."""

    directory: Path | None = None

    def __init__(
        self, source: str, config: HubConfig, shapes: Mapping[str, tuple[int, ...]], *, seed: int
    ) -> None:
        self.source = source
        self.config = config
        self.shapes = shapes
        self._seed = seed

    def read(self, name: str, index: tuple[slice, ...]) -> np.ndarray:
        return _draw(self._seed, name, self.shapes[name])[index]


def open_random(source: str) -> RandomCheckpoint:
    """Raises InvalidInput if the family or the size is unknown, or the query is not `seed=N`."""
    url = urlsplit(source)
    family_name, _, size = url.netloc.partition("-")
    family = FAMILIES.get(family_name)
    if family is None or size not in family.sizes:
        known = "; ".join(f"{name}-{{{','.join(one.sizes)}}}" for name, one in FAMILIES.items())
        raise InvalidInput(f"no random model {url.netloc!r}", where=source, hint=f"there are {known}")
    config = HubConfig(family.sizes[size], source)
    return RandomCheckpoint(source, config, _shapes(family, config), seed=_seed(source, url.query))


def _shapes(family: Family, config: HubConfig) -> Mapping[str, tuple[int, ...]]:
    return {
        name: parameter.tensor_shape
        for parameter in family.parameters(family.parse(config))
        for name in parameter.tensors
    }


def _seed(source: str, query: str) -> int:
    match parse_qsl(query, keep_blank_values=True):
        case []:
            return 0
        case [("seed", text)] if text.isdecimal():
            return int(text)
    raise InvalidInput(f"query {query!r} is not seed=N", where=source)


# One tensor is kept: the devices of a stage read its parts one after the other.
@lru_cache(maxsize=1)
def _draw(seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.default_rng([seed, crc32(name.encode())])
    values = generator.standard_normal(shape, np.float32) * np.float32(INITIALIZER_RANGE)
    # One-dimensional weights are the scales of norms, around 1.
    is_scale = len(shape) == 1 and name.endswith("weight")
    return values + np.float32(1.0) if is_scale else values
