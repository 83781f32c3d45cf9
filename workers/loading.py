"""The models of a group on the devices of one of its processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax

from placement.costs.parts import ranges_of
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput, StatmuxError
from vocabulary.parallel import ParallelConfig
from workers.model import OpenModel, ShardedModel, open_model
from workers.spec import WorkerSpec


def load_models(spec: WorkerSpec, *, place: int) -> dict[str, ShardedModel]:
    """Load and compile the stages of process `place` of every model, all buckets. Raises StatmuxError."""
    devices = _devices(spec, place)
    models = {}
    for model in spec.models:
        try:
            opened = _open(spec, model, place, devices)
            models[model.name] = opened.model(opened.read())
            models[model.name].compile()
        except StatmuxError as error:
            place_words = f"model {model.name}, {error.where}" if error.where else f"model {model.name}"
            raise type(error)(error.message, where=place_words, hint=error.hint) from error
    return models


def _devices(spec: WorkerSpec, place: int) -> Sequence[jax.Device]:
    needed = spec.group.config.tensor * len(spec.stages_of_processes[place])
    devices = jax.devices()[:needed]
    if len(devices) < needed:
        raise InvalidInput(
            f"group {spec.group.id} needs {needed} devices, found {len(devices)}",
            hint="check the node's device count in the deployment",
        )
    return devices


def _open(spec: WorkerSpec, model: ModelSpec, place: int, devices: Sequence[jax.Device]) -> OpenModel:
    assert model.source is not None, model
    return open_model(
        model.source,
        architecture=model.architecture,
        config=spec.group.config,
        devices=devices,
        batch_buckets=model.batch_sizes,
        sequence_buckets=model.sequence_lengths,
        base_dir=Path(spec.source_folder),
        cut=profiled_cut(spec.catalog, model.name, spec.group.config),
        stages=spec.stages_of_processes[place],
    )


def profiled_cut(catalog: Catalog, model: str, config: ParallelConfig) -> tuple[range, ...] | None:
    """The layers of each stage as they were profiled, so that stages cost what the plan believes.

    None where no profile says: then layers are cut evenly.
    """
    if model not in catalog.profiles or not catalog.supports(model, config):
        return None
    counts = catalog.entry(model, config).stage_layers
    return ranges_of(counts) if counts else None
