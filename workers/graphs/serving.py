"""A user's function on the devices of a group: one set of weights, one sharded function a batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from placement.costs.devices import DeviceType, device_types
from placement.intra.device_mesh import TENSOR_AXIS, device_mesh
from placement.intra.nodes import Freedom
from placement.intra.search import parallelize
from vocabulary.layer_graph import Layout
from workers.graphs.program import read_program
from workers.graphs.reading import layer_graph
from workers.graphs.sharded import shard_function
from workers.python_source import PythonSource, traced

# Where a device's own type is not in the data file.
_DEFAULT_TYPE = "a100-80g"


@dataclass(frozen=True, slots=True)
class SharedFunction:
    """For one number of rows: `call(parameters, inputs)`, jitted, and where its inputs lie."""

    call: Any
    input_shardings: Any
    output_structs: Any


@dataclass(frozen=True, slots=True)
class SharedFunctions:
    """`parameters` are on the devices, and lie as all functions want them."""

    parameters: Any
    by_rows: Mapping[int, SharedFunction]


def share(source: PythonSource, devices: Sequence[jax.Device], batch_sizes: Sequence[int]) -> SharedFunctions:
    """Plan for the largest batch; smaller ones take the parameters as they lie. One device needs no plan.

    Raises InvalidInput, Infeasible.
    """
    if len(devices) == 1:
        return _alone(source, devices[0], batch_sizes)
    by_rows: dict[int, SharedFunction] = {}
    fixed: tuple[tuple[int, Layout], ...] = ()
    parameter_shardings = None
    for rows in sorted(batch_sizes, reverse=True):
        inputs = dict(source.structs(rows))
        program = traced(source, lambda inputs=inputs: read_program(source.apply, source.parameters, inputs))
        graph = layer_graph(program)
        mesh = device_mesh(type_of_kind(devices[0].device_kind), graph, tensor=len(devices))
        plan = parallelize(graph, mesh, memory_bytes=_memory_bytes(devices[0]), freedom=Freedom(fixed=fixed))
        fixed = tuple((number, plan.layouts[number]) for number in graph.parameters)
        sharded = shard_function(program, plan, devices, source.parameters, inputs)
        parameter_shardings = parameter_shardings or sharded.parameter_shardings
        outputs = program.output_tree.unflatten(program.values[number] for number in program.outputs)
        (input_shardings,) = sharded.input_shardings
        by_rows[rows] = SharedFunction(sharded.call, input_shardings, outputs)
    return SharedFunctions(jax.device_put(source.parameters, parameter_shardings), by_rows)


def _alone(source: PythonSource, device: jax.Device, batch_sizes: Sequence[int]) -> SharedFunctions:
    here = NamedSharding(Mesh([device], (TENSOR_AXIS,)), PartitionSpec())
    call = jax.jit(source.apply, in_shardings=here, out_shardings=here)
    by_rows = {}
    for rows in batch_sizes:
        inputs = dict(source.structs(rows))
        outputs = traced(
            source, lambda inputs=inputs: jax.eval_shape(source.apply, source.parameters, inputs)
        )
        by_rows[rows] = SharedFunction(call, here, outputs)
    return SharedFunctions(jax.device_put(source.parameters, here), by_rows)


def type_of_kind(kind: str) -> DeviceType:
    """The type in the data file whose name begins with a word of what JAX calls the device, like H100."""
    known = device_types()
    words = kind.lower().replace("-", " ").split()
    names = (name for name in known if name.split("-")[0] in words)
    return known[next(names, _DEFAULT_TYPE)]


def _memory_bytes(device: jax.Device) -> float | None:
    """What the runtime may take of the device; None where it does not say."""
    statistics = device.memory_stats() or {}
    return statistics.get("bytes_limit")
