"""One pipeline stage: some layers of a model on a mesh of their own, compiled once for every bucket."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import is_copied_here, move, reserve, reserve_arriving
from vocabulary.errors import InvalidInput
from workers.families.family import TENSOR_AXIS, Family, Parameter, Parameters
from workers.families.operators import causal, masked, whole_text
from workers.families.pooling import Pooling, pool
from workers.padding import Bucket, PaddedBatch
from workers.weights import Checkpoint, locate, read_parameter

Arrays = Mapping[str, Any]
# A tied table is one parameter in two places.
Weights = Mapping[Parameter, jax.Array]
# So that jax.block_until_ready and jax.tree see the arrays of a batch.
jax.tree_util.register_dataclass(PaddedBatch, data_fields=["arrays"], meta_fields=["bucket", "rows"])
# The activations between stages, replicated over the devices of a stage.
HIDDEN = "hidden_states"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a stage computes. The first also embeds; the last ends with the head, and the pooling if any.

    dtype: of parameters and activations, as numpy names it.
    """

    family: Family
    config: Any
    layers: range
    is_first: bool
    is_last: bool
    output: str
    pooling: Pooling | None = None
    dtype: str = "float32"

    def tables(self) -> Mapping[str, Parameters]:
        """The stage's parameters, by part of the pytree."""
        tables = {str(layer): self.family.layer_parameters(self.config, layer) for layer in self.layers}
        if self.is_first:
            tables["embed"] = self.family.embed_parameters(self.config)
        if self.is_last:
            tables["head"] = self.family.head_parameters(self.config)
        return tables


def stage_plans(
    cut: tuple[range, ...],
    family: Family,
    config: Any,
    *,
    output: str,
    pooling: Pooling | None = None,
    dtype: str = "float32",
) -> tuple[StagePlan, ...]:
    """One for every range of layers. Raises InvalidInput where they are not all layers, in order."""
    layers = [layer for stage in cut for layer in stage]
    if layers != list(range(config.num_layers)):
        raise InvalidInput(
            f"stages of {', '.join(str(len(stage)) for stage in cut)} layers do not make a model of "
            f"{config.num_layers}",
            hint="the profile is of another model: profile this one",
        )
    return tuple(
        StagePlan(
            family=family,
            config=config,
            layers=stage_layers,
            is_first=stage == 0,
            is_last=stage == len(cut) - 1,
            output=output,
            pooling=pooling,
            dtype=dtype,
        )
        for stage, stage_layers in enumerate(cut)
    )


@final
class Stage:
    """Parameters on devices and one executable for every bucket."""

    def __init__(self, plan: StagePlan, weights: Weights, mesh: Mesh) -> None:
        self._plan = plan
        self.weights = weights
        self._params = {
            part: {name: weights[parameter] for name, parameter in table.items()}
            for part, table in plan.tables().items()
        }
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._function = jax.jit(_stage_function(plan, self._replicated))
        self._executables: dict[Bucket, Callable[..., Mapping[str, jax.Array]]] = {}
        self._activation_bytes: dict[Bucket, int] = {}
        self.num_compiles = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of parameters on the fullest device of the stage."""
        return bytes_on_fullest(self._params)

    def compile(self, bucket: Bucket) -> None:
        """Compile for one bucket, unless that was done. Blocks."""
        if bucket in self._executables:
            return
        # Float32 means float32, also on accelerators whose default product is coarser.
        with jax.default_matmul_precision("highest"):
            lowered = self._function.lower(self._params, self._input_structs(bucket))
        compiled = lowered.compile()
        self._executables[bucket] = compiled
        self._activation_bytes[bucket] = _activation_bytes(compiled)
        self.num_compiles += 1

    def release(self) -> None:
        """Give the devices' memory back; it does not run any more."""
        delete_arrays(self._params)
        self._executables.clear()
        self._function.clear_cache()

    def activation_bytes(self, bucket: Bucket) -> int:
        """Bytes that one device needs beside the parameters to run the bucket. Compiles first if needed."""
        self.compile(bucket)
        return self._activation_bytes[bucket]

    def run(self, arrays: Arrays, bucket: Bucket) -> Arrays:
        """Dispatch the stage on numpy arrays or on another stage's; returns at once, with arrays to come.

        Compiles first if the bucket has no executable.
        """
        self.compile(bucket)
        arrays = self.take(arrays)
        computed = self._executables[bucket](self._params, arrays)
        return computed if self._plan.is_last else arrays | computed

    def take(self, arrays: Arrays) -> Arrays:
        """What the stage uses of numpy arrays or of another stage's, on its own devices."""
        return {name: self._place(array) for name, array in arrays.items() if name in self._input_names}

    def is_copied(self, arrays: Arrays) -> bool:
        """Whether `take` copies another stage's arrays itself, while it is called."""
        return any(is_copied_here(array, self._replicated) for array in self._used(arrays))

    def reserve(self, arrays: Arrays, *, count: int) -> None:
        """Memory for what `take` copies of so many batches at once, so that none is needed later."""
        for array in self._used(arrays):
            reserve(array, self._replicated, count=count)

    def reserve_arriving(self, bucket: Bucket, *, count: int) -> None:
        """Memory for so many batches at once that another process sends."""
        for struct in self._input_structs(bucket).values():
            reserve_arriving(struct, count=count)

    def structs(self, bucket: Bucket) -> Mapping[str, jax.ShapeDtypeStruct]:
        """What the stage takes, by name, as it lies on the stage's devices."""
        return self._input_structs(bucket)

    def sent(self, arrays: Arrays) -> Arrays:
        """What the next stage uses of what this one gave, or the result."""
        plan = self._plan
        inner = (HIDDEN,) if plan.family.is_causal else (HIDDEN, "attention_mask")
        return {name: arrays[name] for name in ((plan.output,) if plan.is_last else inner)}

    def _used(self, arrays: Arrays) -> list[jax.Array]:
        return [
            array
            for name, array in arrays.items()
            if name in self._input_names and isinstance(array, jax.Array)
        ]

    @property
    def _input_names(self) -> tuple[str, ...]:
        first = "input_ids" if self._plan.is_first else HIDDEN
        return (first,) if self._plan.family.is_causal else (first, "attention_mask")

    def _place(self, array: np.ndarray | jax.Array) -> jax.Array:
        if isinstance(array, jax.Array):
            return move(array, self._replicated)
        return jax.device_put(array, self._replicated)

    def _input_structs(self, bucket: Bucket) -> Mapping[str, jax.ShapeDtypeStruct]:
        shape = (bucket.batch_size, bucket.sequence_length)
        structs = {
            "input_ids": (shape, np.int32),
            "attention_mask": (shape, np.bool_),
            HIDDEN: ((*shape, self._plan.config.hidden_size), np.float32),
        }
        return {
            name: jax.ShapeDtypeStruct(*structs[name], sharding=self._replicated)
            for name in self._input_names
        }


def stage_mesh(devices: Sequence[jax.Device]) -> Mesh:
    return Mesh(np.array(devices), (TENSOR_AXIS,))


def stage_meshes(devices: Sequence[jax.Device], stages: range, *, tensor: int) -> Mapping[int, Mesh]:
    """Of each stage, `tensor` devices after those of the stage before."""
    return {
        stage: stage_mesh(devices[number * tensor : (number + 1) * tensor])
        for number, stage in enumerate(stages)
    }


def weight_structs(plan: StagePlan, mesh: Mesh) -> Mapping[Parameter, jax.ShapeDtypeStruct]:
    """The stage's parameters as they are to lie on its mesh, each once, in the order of its tables."""
    return {
        parameter: jax.ShapeDtypeStruct(
            parameter.shape, plan.dtype, sharding=NamedSharding(mesh, parameter.spec(mesh.size))
        )
        for table in plan.tables().values()
        for parameter in table.values()
    }


def read_weights(plan: StagePlan, checkpoint: Checkpoint, *, mesh: Mesh) -> Weights:
    """Read a stage's parameters, every device only its part of them. Raises InvalidInput for bad tensors."""
    return {
        parameter: _read(parameter, checkpoint, plan.family, struct)
        for parameter, struct in weight_structs(plan, mesh).items()
    }


def bytes_on_fullest(params: Any) -> int:
    """Bytes of a pytree's arrays on the device that has most of them."""
    held: dict[int, int] = {}
    # By identity: a tied table is one array in two places.
    for array in {id(leaf): leaf for leaf in jax.tree.leaves(params)}.values():
        for shard in array.addressable_shards:
            held[shard.device.id] = held.get(shard.device.id, 0) + shard.data.nbytes
    return max(held.values(), default=0)


def _activation_bytes(compiled: jax.stages.Compiled) -> int:
    """What the compiler reserves for temporaries and results, per device; 0 where it does not say."""
    memory = compiled.memory_analysis()
    return 0 if memory is None else memory.temp_size_in_bytes + memory.output_size_in_bytes


def _read(
    parameter: Parameter, checkpoint: Checkpoint, family: Family, struct: jax.ShapeDtypeStruct
) -> jax.Array:
    names = locate(checkpoint, parameter, family.prefixes)

    def read(index: tuple[slice, ...]) -> np.ndarray:
        bounds = (one.indices(size) for one, size in zip(index, parameter.shape, strict=True))
        values = read_parameter(
            checkpoint, parameter, names, tuple(slice(low, high) for low, high, _ in bounds)
        )
        return values.astype(struct.dtype, copy=False)

    return jax.make_array_from_callback(parameter.shape, struct.sharding, read)


def _stage_function(plan: StagePlan, replicated: NamedSharding) -> Callable[..., Mapping[str, jax.Array]]:
    """params, arrays -> the stage's result, by name."""
    family, config = plan.family, plan.config

    def run(params: Mapping[str, Mapping[str, jax.Array]], arrays: Arrays) -> Arrays:
        first = arrays["input_ids" if plan.is_first else HIDDEN]
        positions_1L = whole_text(first.shape[1])
        x_BLD = family.embed(config, params["embed"], first, positions_1L) if plan.is_first else first
        attend = masked(causal(x_BLD.shape[1]) if family.is_causal else arrays["attention_mask"][:, None])
        for layer in plan.layers:
            x_BLD = family.layer(config, params[str(layer)], x_BLD, positions_1L, attend)
            x_BLD = jax.lax.with_sharding_constraint(x_BLD, replicated)
        if not plan.is_last:
            return {HIDDEN: x_BLD}
        result = family.head(config, params["head"], x_BLD)
        if plan.pooling is not None:
            result = pool(plan.pooling, result, arrays["attention_mask"])
        return {plan.output: result}

    return run


def delete_arrays(tree: Any) -> None:
    """Give the memory of all arrays back at once, also of those that others still know."""
    for array in jax.tree.leaves(tree):
        if not array.is_deleted():
            array.delete()
