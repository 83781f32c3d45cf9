"""Which models still fit on a mesh, for all models at once: the rule of `vocabulary.fit` as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from placement.groups import Mesh
from vocabulary.catalog import Catalog
from vocabulary.deployment import Deployment, ModelSpec, Parallelism
from vocabulary.fit import activation_batch_size, stage_bytes
from vocabulary.least_cache import least_cache_bytes
from vocabulary.parallel import ParallelConfig

# More bytes than any device has: a model that may not be there.
NOWHERE = 2**60


@final
class Memory:
    """Bytes of every model by configuration, and what a deployment allows. Built when first asked for."""

    def __init__(self, deployment: Deployment, catalog: Catalog) -> None:
        self._models = deployment.models
        self._catalog = catalog
        self._activation_batch = activation_batch_size(deployment)
        self._weights: dict[tuple[ParallelConfig, bool], NDArray[np.int64]] = {}
        self._activations: dict[ParallelConfig, NDArray[np.int64]] = {}

    def needed(self, config: ParallelConfig, *, crosses_hosts: bool = False) -> NDArray[np.int64]:
        """Bytes a device of each stage: weights, and the least cache of a model that generates.

        [models, stages]; NOWHERE for models that may not be there.
        """
        key = (config, crosses_hosts)
        if key not in self._weights:
            rows = np.full((len(self._models), config.pipeline), NOWHERE, dtype=np.int64)
            for index, model in enumerate(self._models):
                if allows(model, config, crosses_hosts=crosses_hosts):
                    weights = np.array(self._catalog.entry(model.name, config).weight_bytes)
                    rows[index] = weights + least_cache_bytes(model, config)
            self._weights[key] = rows
        return self._weights[key]

    def stage_bytes(self, mesh: Mesh) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """On a device of each stage: weights of every model, and its activations [models, stages]."""
        weights = self._weights_of(mesh)
        if self._activation_batch is None:
            return weights, np.zeros_like(weights)
        return weights, self._activation_bytes(mesh.config)

    def used(self, mesh: Mesh, models: Sequence[int]) -> NDArray[np.int64]:
        """Bytes that `models` take on a device of each stage [stages]."""
        used = self._weights_of(mesh)[list(models)].sum(axis=0)
        if self._activation_batch is not None:
            used = used + self._activation_bytes(mesh.config)[list(models)].max(axis=0, initial=0)
        return used

    def fitting(self, mesh: Mesh, models: Sequence[int]) -> NDArray[np.bool_]:
        """Which further models fit beside `models` [models]; those that are there do not."""
        held = list(models)
        weights = self._weights_of(mesh)
        total = weights[held].sum(axis=0) + weights
        if self._activation_batch is not None:
            activations = self._activation_bytes(mesh.config)
            total = total + np.maximum(activations[held].max(axis=0, initial=0), activations)
        fits = (total <= mesh.usable_bytes).all(axis=1)
        fits[held] = False
        return fits

    def _weights_of(self, mesh: Mesh) -> NDArray[np.int64]:
        return self.needed(mesh.config, crosses_hosts=mesh.num_hosts > 1)

    def _activation_bytes(self, config: ParallelConfig) -> NDArray[np.int64]:
        if config not in self._activations:
            rows = np.zeros((len(self._models), config.pipeline), dtype=np.int64)
            for index, model in enumerate(self._models):
                if self._catalog.supports(model.name, config):
                    alone = stage_bytes(
                        config,
                        (model.name,),
                        catalog=self._catalog,
                        activation_batch_size=self._activation_batch,
                    )
                    weights = self._catalog.entry(model.name, config).weight_bytes
                    rows[index] = [both - weight for both, weight in zip(alone, weights, strict=True)]
            self._activations[config] = rows
        return self._activations[config]


def allows(model: ModelSpec, config: ParallelConfig, *, crosses_hosts: bool = False) -> bool:
    """Whether the deployment and the profile let this model run on this configuration."""
    if model.profile is None or not model.profile.supports(config):
        return False
    wanted: Parallelism = model.parallelism
    return (
        (not wanted.tensor or config.tensor in wanted.tensor)
        and (not wanted.pipeline or config.pipeline in wanted.pipeline)
        and (wanted.max_devices is None or config.num_devices <= wanted.max_devices)
        and (wanted.cross_node or not crosses_hosts)
    )
