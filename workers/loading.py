"""The models of a group on the devices of one of its processes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import final

import jax
import structlog

from resharding.transport.errors import TransferFailed
from resharding.transport.host import HostTransport
from resharding.transport.interface import Channel
from vocabulary.errors import RuntimeFailure
from vocabulary.placement import Group
from workers.device_memory import DeviceMemory, measured
from workers.families.family import Parameter
from workers.generation.model import GeneratingModel
from workers.generation.opening import OpenGeneratingModel
from workers.model import OpenModel, ShardedModel, StageWeights
from workers.multicast import STORE, Load, Multicast
from workers.opening import devices_of, load_function, named, open_one, profiled_cut, room_for
from workers.python_model import PythonModel
from workers.python_source import is_python_source
from workers.reserved import Reserved, bytes_of_devices, reserved_by
from workers.spec import WorkerSpec
from workers.stages import StagePlan, delete_arrays, weight_structs
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

    Further models come with `read_more`, `receive`, `compile`, and go with `remove`. Only `give` may run
    beside one of the others. place: of the process in the group. transport: for weights from other groups and
    to them.
    """

    def __init__(self, spec: WorkerSpec, *, place: int, transport: HostTransport | None = None) -> None:
        self._spec = spec
        self._place = place
        self._transport = transport
        self._opened: dict[str, OpenModel | OpenGeneratingModel] = {}
        self._functions: dict[str, PythonModel] = {}
        self._weights: dict[str, StageWeights] = {}
        self._ready: dict[str, LoadedModel] = {}
        # Of each model, how many transfers to other groups go on.
        self._num_giving: Counter[str] = Counter()
        self._given = threading.Condition()
        self.loads: list[Load] = []
        # Of each model that is ready.
        self._reserved: dict[str, Reserved] = {}

    @property
    def weights(self) -> ModelWeights:
        """What is here so far."""
        return self._weights

    def read(self, *, expected: Collection[str] = ()) -> None:
        """All weights but those that are `expected` from other groups. Raises StatmuxError."""
        devices = devices_of(self._spec, self._place)
        for model in self._spec.models:
            if model.name in self._ready:
                continue
            with named(model.name):
                if is_python_source(model.source):
                    self._functions[model.name] = load_function(self._spec, model, devices)
                    continue
                self._opened[model.name] = open_one(self._spec, model, self._place, devices)
                if model.name not in expected:
                    self._read(model.name)

    def read_more(self, spec: WorkerSpec, *, expected: Collection[str] = ()) -> None:
        """As `read`, of the models of `spec` that are not ready; others that are not are dropped.

        Raises StatmuxError; then there are only those that are ready.
        """
        self.drop_unfinished()
        self._spec = spec
        try:
            self.read(expected=expected)
        except BaseException:
            self.drop_unfinished()
            raise

    def has_opened(self, models: Collection[str]) -> bool:
        """Whether all of these were read, or are expected."""
        return all(name in self._opened or name in self._functions for name in models)

    def receive(self, multicasts: Sequence[Multicast]) -> None:
        """Take part in these, in their order; what does not come is read. Raises StatmuxError."""
        for one, channel in self._opened_channels(multicasts):
            if one.is_target(self._spec.group.id):
                self._take(one, channel)
            else:
                self._give(one, channel)
        for name in self._opened:
            if name not in self._weights:
                with named(name):
                    self._read(name, why="no multicast brought them")

    def compile(self) -> dict[str, LoadedModel]:
        """Every model that was not ready, ready. Raises StatmuxError; `drop_unfinished` is for the caller."""
        made: dict[str, LoadedModel] = {}
        for name, function in self._functions.items():
            if name not in self._ready:
                with named(name):
                    function.compile()
                made[name] = function
        for name, opened in self._opened.items():
            if name not in self._ready:
                start_s = time.monotonic()
                with named(name):
                    made[name] = self._compiled(name, opened)
                self._note_compiled(name, time.monotonic() - start_s)
        # Nothing runs of them yet: what runs gives its pages away and gets others.
        found = {name: reserved_by(name, model, self._weights.get(name, {})) for name, model in made.items()}
        # Not changed in place: heartbeats read it on another thread.
        self._reserved = {**self._reserved, **found}
        self._ready |= made
        return made

    def device_memory(self) -> tuple[DeviceMemory, ...]:
        """Of the devices of this process, in the group's order. From any thread."""
        held = bytes_of_devices(self._reserved.values())
        stages = self._spec.stages_of_processes[self._place]
        tensor = self._spec.group.config.tensor
        return tuple(
            measured(device, stage=stages[number // tensor], reserved_bytes=held[device.id])
            for number, device in enumerate(devices_of(self._spec, self._place))
        )

    def drop_unfinished(self) -> None:
        """All that is not ready gives its memory back."""
        self._forget({*self._opened, *self._functions} - set(self._ready))

    def remove(self, models: Collection[str], *, within_s: float = 0.0) -> None:
        """Forget models that nothing runs of, and give their memory back.

        Raises RuntimeFailure, and forgets none, if `within_s` weights are on their way to another group.
        """
        with self._given:
            if not self._given.wait_for(lambda: not self._being_given(models), within_s):
                raise RuntimeFailure(
                    f"weights of {', '.join(self._being_given(models))} are on their way to another group",
                    hint="try again when they are there",
                )
            self._forget(models)

    def give(self, multicasts: Sequence[Multicast]) -> None:
        """As a source, while the models serve. A failure is the receivers' to bear: it is logged here."""
        with self._giving({name for one in multicasts for name in one.models}):
            for multicast, channel in self._opened_channels(multicasts):
                self._give(multicast, channel)

    @contextmanager
    def _giving(self, models: Collection[str]) -> Iterator[None]:
        """They are not removed meanwhile."""
        with self._given:
            self._num_giving.update(models)
        try:
            yield
        finally:
            with self._given:
                self._num_giving.subtract(models)
                self._given.notify_all()

    def _being_given(self, models: Collection[str]) -> list[str]:
        return sorted(name for name in models if self._num_giving[name])

    def _note_compiled(self, name: str, seconds: float) -> None:
        self.loads = [replace(one, compile_s=seconds) if one.model == name else one for one in self.loads]

    def _forget(self, models: Collection[str]) -> None:
        self._reserved = {name: one for name, one in self._reserved.items() if name not in models}
        for name in models:
            model = self._ready.pop(name, None)
            if model is not None:
                model.release()
            self._opened.pop(name, None)
            self._functions.pop(name, None)
            delete_arrays([list(weights.values()) for weights in self._weights.pop(name, {}).values()])
        self.loads = [load for load in self.loads if load.model not in models]

    def _compiled(self, name: str, opened: OpenModel | OpenGeneratingModel) -> LoadedModel:
        model = opened.model(self._weights[name])
        try:
            model.compile()
        except BaseException:
            model.release()
            raise
        if isinstance(model, GeneratingModel):
            self._compare_pages(name, model)
        return model

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
            with room_for(", ".join(multicast.models)):
                self._weights |= self._carry(multicast, channel, weights={}, structs=structs)
        except TransferFailed as error:
            for name in multicast.models:
                with named(name):
                    self._read(name, why=f"from {multicast.origin}: {error.why}")
        else:
            for name in multicast.models:
                self._tell(name, multicast.origin, start_s, "")

    def _give(self, multicast: Multicast, channel: Channel) -> None:
        gone = [name for name in multicast.models if name not in self._weights]
        if gone:
            _log.warning("weights not given: they are not here", models=gone)
            channel.abort()
            return
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
        opened = self._opened[model]
        if group.id == self._spec.group.id:
            return opened.plans  # As it was cut, whatever its profile says by now.
        return opened.stages_of(group.config, profiled_cut(self._spec.catalog, model, group.config))

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
