"""A model of a group before its weights are here: opened on the devices of one of the group's processes."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from placement.costs.parts import ranges_of
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput, RuntimeFailure, StatmuxError
from vocabulary.parallel import ParallelConfig
from workers.generation.opening import OpenGeneratingModel, open_generating_model
from workers.model import OpenModel, open_model
from workers.python_model import PythonModel, load_python_model
from workers.spec import WorkerSpec


@contextlib.contextmanager
def named(model: str) -> Iterator[None]:
    """Errors inside say which model they are about."""
    try:
        with room_for(model):
            yield
    except StatmuxError as error:
        place = f"model {model}, {error.where}" if error.where else f"model {model}"
        raise type(error)(error.message, where=place, hint=error.hint) from error


@contextlib.contextmanager
def room_for(model: str) -> Iterator[None]:
    """What finds no memory inside, on devices or the host, raises RuntimeFailure."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        # What its frames hold is what there is no room for.
        traceback.clear_frames(error.__traceback__)
        raise RuntimeFailure(
            f"{model} does not load: {why}",
            hint="if memory is what lacks, place fewer models there, lower kv_cache, or raise memory_gb",
        ) from error


def devices_of(spec: WorkerSpec, place: int) -> Sequence[jax.Device]:
    """Of the group's process at `place`. Raises InvalidInput if there are too few."""
    needed = spec.group.config.tensor * len(spec.stages_of_processes[place])
    devices = jax.devices()[:needed]
    if len(devices) < needed:
        raise InvalidInput(
            f"group {spec.group.id} needs {needed} devices, found {len(devices)}",
            hint="check the node's device count in the deployment",
        )
    return devices


def open_one(
    spec: WorkerSpec, model: ModelSpec, place: int, devices: Sequence[jax.Device]
) -> OpenModel | OpenGeneratingModel:
    """Raises InvalidInput for a bad source, Infeasible for more stages than layers."""
    assert model.source is not None, model
    if model.name in spec.limits:
        return open_generating_model(
            model.source,
            architecture=model.architecture,
            config=spec.group.config,
            devices=devices,
            limits=spec.limits[model.name],
            base_dir=Path(spec.source_folder),
            max_model_len=model.max_model_len,
            cut=profiled_cut(spec.catalog, model.name, spec.group.config),
            stages=spec.stages_of_processes[place],
            attention=model.attention,
            dtype=model.number_format,
        )
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
        dtype=model.number_format,
    )


def load_function(spec: WorkerSpec, model: ModelSpec, devices: Sequence[jax.Device]) -> PythonModel:
    """The user's own code, with its parameters on the devices. Raises InvalidInput, Infeasible."""
    assert model.source is not None, model
    return load_python_model(
        model.source,
        is_allowed=spec.allow_python_models,
        config=spec.group.config,
        devices=devices,
        batch_buckets=model.batch_sizes,
        base_dir=Path(spec.source_folder),
    )


def profiled_cut(catalog: Catalog, model: str, config: ParallelConfig) -> tuple[range, ...] | None:
    """The layers of each stage as they were profiled, so that stages cost what the plan believes.

    None where no profile says: then layers are cut evenly.
    """
    if model not in catalog.profiles or not catalog.supports(model, config):
        return None
    counts = catalog.entry(model, config).stage_layers
    return ranges_of(counts) if counts else None
