"""The models of a group on the devices of one of its processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

import jax
import structlog

from placement.costs.parts import ranges_of
from resharding.transport.errors import TransferFailed
from resharding.transport.host import HostTransport
from resharding.transport.interface import Channel
from vocabulary.catalog import Catalog
from vocabulary.deployment import ModelSpec
from vocabulary.errors import InvalidInput, StatmuxError
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group
from workers.families.family import Parameter
from workers.generation.model import GeneratingModel
from workers.generation.opening import OpenGeneratingModel, open_generating_model
from workers.model import OpenModel, ShardedModel, StageWeights, open_model
from workers.multicast import STORE, Load, Multicast
from workers.python_model import PythonModel, load_python_model
from workers.python_source import is_python_source
from workers.spec import WorkerSpec
from workers.stages import StagePlan, weight_structs
from workers.weight_moves import ModelStructs, ModelWeights, WeightMoves, open_channel, place_in

_log = structlog.get_logger("statmux.worker")
LoadedModel = ShardedModel | GeneratingModel | PythonModel


def load_models(spec: WorkerSpec, *, place: int) -> dict[str, LoadedModel]:
    """Read and compile the stages of process `place` of every model, all buckets. Raises StatmuxError."""
    loader = Loader(spec, place=place)
    loader.read()
    return loader.compile()


@final
class Loader:
    """Brings the models of a group to one of its processes: `read`, `receive`, `compile`; then `give`.

    place: of the process in the group. transport: for weights from other groups and to them.
    """

    def __init__(self, spec: WorkerSpec, *, place: int, transport: HostTransport | None = None) -> None:
        self._spec = spec
        self._place = place
        self._transport = transport
        self._opened: dict[str, OpenModel | OpenGeneratingModel] = {}
        self._functions: dict[str, PythonModel] = {}
        self._weights: dict[str, StageWeights] = {}
        self.loads: list[Load] = []

    @property
    def weights(self) -> ModelWeights:
        """What is here so far."""
        return self._weights

    def read(self, *, expected: Collection[str] = ()) -> None:
        """All weights but those that are `expected` from other groups. Raises StatmuxError."""
        devices = _devices(self._spec, self._place)
        for model in self._spec.models:
            with _named(model.name):
                if is_python_source(model.source):
                    self._functions[model.name] = _load_function(self._spec, model, devices)
                    continue
                self._opened[model.name] = _open(self._spec, model, self._place, devices)
                if model.name not in expected:
                    self._read(model.name)

    def receive(self, multicasts: Sequence[Multicast]) -> None:
        """Take part in these, in their order; what does not come is read. Raises StatmuxError."""
        for one, channel in self._opened_channels(multicasts):
            if one.is_target(self._spec.group.id):
                self._take(one, channel)
            else:
                self._give(one, channel)
        for name in self._opened:
            if name not in self._weights:
                with _named(name):
                    self._read(name, why="no multicast brought them")

    def compile(self) -> dict[str, LoadedModel]:
        """Every model, ready."""
        models: dict[str, LoadedModel] = {}
        for name, function in self._functions.items():
            with _named(name):
                function.compile()
            models[name] = function
        for name, opened in self._opened.items():
            with _named(name):
                models[name] = model = opened.model(self._weights[name])
                model.compile()
                if isinstance(model, GeneratingModel):
                    self._compare_pages(name, model)
        return models

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """As a source, while the models serve. A failure is the receivers' to bear: it is logged here."""
        for multicast, channel in self._opened_channels(multicasts):
            self._give(multicast, channel)

    def _read(self, name: str, *, why: str = "") -> None:
        start_s = time.monotonic()
        self._weights[name] = self._opened[name].read()
        jax.block_until_ready([list(stage.values()) for stage in self._weights[name].values()])
        self._tell(name, STORE, start_s, why)

    def _opened_channels(self, multicasts: Sequence[Multicast]) -> list[tuple[Multicast, Channel]]:
        """Of those that we are part of. All at once, as others may wait for us in a later one."""
        mine = [one for one in multicasts if one.involves(self._spec.group.id)]
        return [(one, open_channel(one, self._our_transport())) for one in mine]

    def _take(self, multicast: Multicast, channel: Channel) -> None:
        start_s = time.monotonic()
        structs = {name: self._structs(self._opened[name]) for name in multicast.models}
        try:
            self._weights |= self._carry(multicast, channel, weights={}, structs=structs)
        except TransferFailed as error:
            for name in multicast.models:
                with _named(name):
                    self._read(name, why=f"from {multicast.origin}: {error.why}")
        else:
            for name in multicast.models:
                self._tell(name, multicast.origin, start_s, "")

    def _give(self, multicast: Multicast, channel: Channel) -> None:
        try:
            self._carry(multicast, channel, weights=self._weights, structs={})
        except TransferFailed as error:
            _log.warning("weights not given", models=multicast.models, why=str(error))

    def _carry(
        self, multicast: Multicast, channel: Channel, *, weights: ModelWeights, structs: ModelStructs
    ) -> ModelWeights:
        moves = WeightMoves(multicast, self._stages_of)
        place = place_in(multicast, self._our_transport())
        try:
            return moves.carry(channel, place=place, weights=weights, structs=structs)
        finally:
            channel.close()

    def _stages_of(self, model: str, group: Group) -> tuple[StagePlan, ...]:
        cut = profiled_cut(self._spec.catalog, model, group.config)
        return self._opened[model].stages_of(group.config, cut)

    def _structs(
        self, opened: OpenModel | OpenGeneratingModel
    ) -> Mapping[int, Mapping[Parameter, jax.ShapeDtypeStruct]]:
        return {stage: weight_structs(opened.plans[stage], mesh) for stage, mesh in opened.meshes.items()}

    def _tell(self, name: str, origin: str, start_s: float, why: str) -> None:
        num_bytes = sum(
            shard.data.nbytes
            for stage in self._weights[name].values()
            for array in stage.values()
            for shard in array.addressable_shards
        )
        load = Load(name, origin, num_bytes, time.monotonic() - start_s, why)
        self.loads.append(load)
        _log.info("weights", model=name, origin=origin, num_bytes=num_bytes, seconds=load.seconds, why=why)

    def _compare_pages(self, name: str, model: GeneratingModel) -> None:
        """How many pages fit was counted with the profile's bytes, which may be of another number format."""
        catalog, config = self._spec.catalog, self._spec.group.config
        if name not in catalog.profiles or not catalog.supports(name, config):
            return
        stages = self._spec.stages_of_processes[self._place]
        counted = catalog.entry(name, config).kv_bytes_per_token[stages.start : stages.stop]
        if counted and counted != model.kv_bytes_per_token:
            _log.warning(
                "the profile is of other pages: profile the model again",
                model=name,
                bytes_per_token=model.kv_bytes_per_token,
                profiled=counted,
            )

    def _our_transport(self) -> HostTransport:
        assert self._transport is not None, "no way to other groups"
        return self._transport


@contextlib.contextmanager
def _named(model: str) -> Iterator[None]:
    """Errors inside say which model they are about."""
    try:
        yield
    except StatmuxError as error:
        place = f"model {model}, {error.where}" if error.where else f"model {model}"
        raise type(error)(error.message, where=place, hint=error.hint) from error


def _devices(spec: WorkerSpec, place: int) -> Sequence[jax.Device]:
    needed = spec.group.config.tensor * len(spec.stages_of_processes[place])
    devices = jax.devices()[:needed]
    if len(devices) < needed:
        raise InvalidInput(
            f"group {spec.group.id} needs {needed} devices, found {len(devices)}",
            hint="check the node's device count in the deployment",
        )
    return devices


def _open(
    spec: WorkerSpec, model: ModelSpec, place: int, devices: Sequence[jax.Device]
) -> OpenModel | OpenGeneratingModel:
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


def _load_function(spec: WorkerSpec, model: ModelSpec, devices: Sequence[jax.Device]) -> PythonModel:
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
