"""The user's own function, served: its batches padded to the sizes that are compiled, shared as planned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import jax
import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.parallel import ParallelConfig
from vocabulary.tensors import TensorSpec
from workers.graphs.serving import SharedFunctions, share
from workers.padding import Bucket, Buckets, PaddedBatch, Rows, check_names
from workers.python_outputs import named_outputs, output_specs
from workers.python_source import PythonSource, open_python_source


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """One request, checked, every input with rows. `is_single`: it came without that dimension."""

    arrays: Mapping[str, np.ndarray]
    num_rows: int
    is_single: bool


@final
class PythonModel:
    """As `workers.model.ShardedModel`, of one stage. Sequences have no length: a row is a row."""

    num_stages = 1

    def __init__(self, source: PythonSource, functions: SharedFunctions, *, buckets: Buckets) -> None:
        self._source = source
        self._functions = functions
        self._buckets = buckets
        self._executables: dict[int, Any] = {}
        self._num_compiles_at_ready: int | None = None
        self.outputs = output_specs(source)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._source.inputs

    def arrays(self) -> Iterator[jax.Array]:
        """Of its parameters, on the devices; functions of one file share them."""
        yield from jax.tree.leaves(self._functions.parameters)

    @property
    def weight_bytes_per_stage(self) -> tuple[int, ...]:
        """Bytes of parameters on the fullest device."""
        held: dict[int, int] = {}
        for leaf in jax.tree.leaves(self._functions.parameters):
            for shard in leaf.addressable_shards:
                held[shard.device.id] = held.get(shard.device.id, 0) + shard.data.nbytes
        return (max(held.values(), default=0),)

    def activation_bytes_per_stage(self, batch_size: int) -> tuple[int, ...]:
        """Bytes that a device needs for temporaries and results; 0 where the compiler is silent."""
        memory = self._executable(self._buckets.largest_for(batch_size)).memory_analysis()
        return (0 if memory is None else memory.temp_size_in_bytes + memory.output_size_in_bytes,)

    def output_bytes(self, batch_size: int) -> int:
        """Bytes of the results of a padded batch."""
        bucket = self._buckets.largest_for(batch_size)
        results = self._functions.by_rows[bucket.batch_size].output_structs
        return sum(one.size * one.dtype.itemsize for one in jax.tree.leaves(results))

    @property
    def num_compiles(self) -> int:
        return len(self._executables)

    @property
    def num_recompiles(self) -> int:
        return 0 if self._num_compiles_at_ready is None else self.num_compiles - self._num_compiles_at_ready

    def compile(self) -> None:
        """Compile every batch size and run it once. Blocks."""
        for bucket in self._buckets:
            request = self.blank_request(bucket.batch_size)
            self.unpad(self.run(self.pad([request])))
        self._num_compiles_at_ready = self.num_compiles

    def blank_request(self, num_rows: int = 1) -> Mapping[str, np.ndarray]:
        """Rows of zeros."""
        return {
            name: np.zeros(struct.shape, struct.dtype)
            for name, struct in self._source.structs(num_rows).items()
        }

    def prepare(self, request: Mapping[str, np.ndarray]) -> PreparedRows:
        """Check one request, so that a bad one fails alone. Raises InvalidInput."""
        check_names(request, required={spec.name for spec in self.inputs}, optional=set())
        singles = [request[spec.name].ndim + 1 == len(spec.shape) for spec in self.inputs]
        arrays = {
            spec.name: self._checked(spec, request[spec.name][None] if all(singles) else request[spec.name])
            for spec in self.inputs
        }
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) > 1 or not all(counts.values()):
            raise InvalidInput(f"inputs must have equally many rows, at least one; they have {counts}")
        num_rows = next(iter(counts.values()))
        self._buckets.check_rows(num_rows)
        return PreparedRows(arrays, num_rows, is_single=all(singles))

    def release(self) -> None:
        """It does not run any more. Its parameters may be the user's own, and go with the last reference."""
        self._executables.clear()

    def parts(self, requests: Sequence[PreparedRows]) -> list[PaddedBatch]:
        """In as few batches as hold all rows, in order."""
        return [self.pack(part) for part in self._filled(requests)]

    def pack(self, requests: Sequence[PreparedRows]) -> PaddedBatch:
        """Side by side, padded with rows of zeros. Raises InvalidInput for more than a batch holds."""
        num_rows = sum(request.num_rows for request in requests)
        bucket = self._buckets.fit(num_rows=num_rows, length=1)
        rows, first = [], 0
        for request in requests:
            rows.append(Rows(first, request.num_rows, 1, request.is_single))
            first += request.num_rows
        arrays = {}
        for name, struct in self._source.structs(bucket.batch_size).items():
            arrays[name] = np.zeros(struct.shape, struct.dtype)
            arrays[name][:num_rows] = np.concatenate([request.arrays[name] for request in requests])
        return PaddedBatch(bucket, tuple(rows), arrays)

    def pad(self, requests: Sequence[Mapping[str, np.ndarray]]) -> PaddedBatch:
        """`prepare` and `pack` in one."""
        return self.pack([self.prepare(request) for request in requests])

    def run_stage(self, stage: int, batch: PaddedBatch) -> PaddedBatch:
        """Dispatch the function; returns without waiting."""
        assert stage == 0, stage
        executable = self._executable(batch.bucket)
        function = self._functions.by_rows[batch.bucket.batch_size]
        placed = jax.device_put(dict(batch.arrays), function.input_shardings)
        return replace(batch, arrays=named_outputs(executable(self._functions.parameters, placed)))

    def run(self, batch: PaddedBatch) -> PaddedBatch:
        return self.run_stage(0, batch)

    def unpad(self, batch: PaddedBatch) -> list[dict[str, np.ndarray]]:
        """Every request's outputs by name. Blocks until they are there."""
        outputs = {name: np.asarray(array) for name, array in batch.arrays.items()}
        found = []
        for one in batch.rows:
            parts = {name: array[one.first : one.first + one.count] for name, array in outputs.items()}
            found.append({name: part[0] if one.is_single else part for name, part in parts.items()})
        return found

    def _filled(self, requests: Sequence[PreparedRows]) -> Iterator[list[PreparedRows]]:
        part: list[PreparedRows] = []
        for request in requests:
            if part and sum(one.num_rows for one in part) + request.num_rows > self._buckets.batch_sizes[-1]:
                yield part
                part = []
            part.append(request)
        if part:
            yield part

    def _checked(self, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
        struct = self._source.structs(1)[spec.name]
        if not spec.accepts(array.shape) or array.dtype.kind != struct.dtype.kind:
            raise InvalidInput(
                f"{spec.name} is {array.dtype}{list(array.shape)}, not {spec.datatype}{list(spec.shape)}"
            )
        found = array.astype(struct.dtype)
        if array.dtype.kind in "iu" and not np.array_equal(found, array):
            raise InvalidInput(f"{spec.name} holds numbers that {struct.dtype} does not")
        return found

    def _executable(self, bucket: Bucket) -> Any:
        rows = bucket.batch_size
        if rows not in self._executables:
            function = self._functions.by_rows[rows]
            # Float32 means float32, also on accelerators whose default product is coarser.
            with jax.default_matmul_precision("highest"):
                lowered = function.call.lower(self._functions.parameters, dict(self._source.structs(rows)))
            self._executables[rows] = lowered.compile()
        return self._executables[rows]


def load_python_model(
    source: str,
    *,
    is_allowed: bool,
    config: ParallelConfig,
    devices: Sequence[jax.Device],
    batch_buckets: tuple[int, ...],
    base_dir: Path,
) -> PythonModel:
    """Build the model and put its parameters on the devices; `compile` before serving.

    With several devices `placement.intra` chooses how they share it. Raises InvalidInput, Infeasible.
    """
    opened = open_python_source(source, base_dir=base_dir, is_allowed=is_allowed)
    if config.pipeline > 1:
        raise InvalidInput(
            f"a function cannot be cut into {config.pipeline} stages",
            where=source,
            hint="write parallelism: {pipeline: [1]}; several devices share it with tensor",
        )
    opened.check_parameters_are_arrays()
    buckets = Buckets(tuple(sorted(set(batch_buckets))), (1,))
    return PythonModel(opened, share(opened, devices, buckets.batch_sizes), buckets=buckets)
