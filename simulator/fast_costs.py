"""Stage latencies and placements as flat arrays, the way the compiled scorer reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, final

import numpy as np
from numpy.typing import NDArray

from vocabulary.catalog import Catalog
from vocabulary.parallel import ParallelConfig

# Requests that fit into a processor's cache.
_PIECE = 2**16
Column = TypeVar("Column", bound=np.ndarray)
# A layout: the configuration of every group, in plan order. Its content: the model indices on every group.
Layout = tuple[ParallelConfig, ...]
Content = Sequence[Sequence[int]]


@final
class StageTable:
    """Latencies of one request alone by configuration and model, built when first asked for.

    Models without a profile, or whose profile lacks the configuration, have infinite latencies.
    """

    def __init__(self, models: tuple[str, ...], catalog: Catalog) -> None:
        self._models = models
        self._catalog = catalog
        self._by_config: dict[ParallelConfig, NDArray[np.float64]] = {}
        self._stacked: dict[Layout, NDArray[np.float64]] = {}

    @property
    def num_models(self) -> int:
        return len(self._models)

    def stages_s(self, config: ParallelConfig) -> NDArray[np.float64]:
        """[models, stages of the configuration]."""
        if config not in self._by_config:
            self._by_config[config] = self._build(config)
        return self._by_config[config]

    def stacked(self, configs: tuple[ParallelConfig, ...]) -> NDArray[np.float64]:
        """[configs, models, most stages of any]; what is past a configuration's last stage is 0."""
        if configs not in self._stacked:
            most = max((config.pipeline for config in configs), default=1)
            table = np.zeros((len(configs), len(self._models), most))
            for index, config in enumerate(configs):
                table[index, :, : config.pipeline] = self.stages_s(config)
            self._stacked[configs] = table
        return self._stacked[configs]

    def _build(self, config: ParallelConfig) -> NDArray[np.float64]:
        # Many models share few profiles; the latency model is applied once for each.
        nowhere = (np.inf,) * config.pipeline
        by_profile: dict[int, tuple[float, ...]] = {id(None): nowhere}
        profiles = [self._catalog.profiles.get(model) for model in self._models]
        for model, profile in zip(self._models, profiles, strict=True):
            if id(profile) not in by_profile:
                is_there = self._catalog.supports(model, config)
                by_profile[id(profile)] = self._catalog.costs(model, config).single if is_there else nowhere
        rows = [by_profile[id(profile)] for profile in profiles]
        return np.array(rows, dtype=np.float64).reshape(len(rows), config.pipeline)


def num_by_model(model_index: NDArray[np.int32], num_models: int) -> NDArray[np.int64]:
    """Requests of each model; piece by piece, as bincount makes a wider copy of what it counts."""
    total = np.zeros(num_models, dtype=np.int64)
    for start in range(0, len(model_index), _PIECE):
        total += np.bincount(model_index[start : start + _PIECE], minlength=num_models)
    return total


def unwritable(column: Column) -> Column:
    """The same memory. numba compiles again for columns that may be written to; readers differ in that."""
    view = column.view()
    view.flags.writeable = False
    return view


def slots_of(
    layout: Layout, content: Content, table: StageTable
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The first three of `fast_kernel.Replicas`: first_slot, slot_group and slot_stages_s."""
    sizes = [len(models) for models in content]
    group = np.repeat(np.arange(len(layout)), sizes)
    model = np.fromiter((index for models in content for index in models), dtype=np.int64, count=len(group))
    order = np.argsort(model, kind="stable")
    model, group = model[order], group[order]
    first_slot = np.searchsorted(model, np.arange(table.num_models + 1))
    configs = tuple(sorted(set(layout)))
    table_s = table.stacked(configs)
    if len(configs) == 1:
        return first_slot, group, table_s[0][model]
    config = np.array([configs.index(config) for config in layout], dtype=np.int64)
    return first_slot, group, table_s[config[group], model]
