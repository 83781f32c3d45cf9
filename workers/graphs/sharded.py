"""A program sharded as a plan says: its steps, with layouts pinned where tensors change hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from placement.intra.search import IntraPlan
from vocabulary.layer_graph import Layout
from workers.graphs.program import Program, Step


@dataclass(frozen=True, slots=True)
class ShardedFunction:
    """`call(parameters, *inputs)` on the mesh's devices; not compiled yet. Shardings are pytrees.

    Arguments that lie otherwise are moved first.
    """

    call: Any
    parameter_shardings: Any
    input_shardings: Any
    mesh: Mesh


def spec_of(layout: Layout, axes: Sequence[str]) -> PartitionSpec:
    """The layout as JAX writes it, without trailing None."""
    cuts = [dim for dim in layout if dim is not None]
    dims: list[Any] = [None] * (max(cuts) + 1 if cuts else 0)
    for axis, dim in zip(axes, layout, strict=True):
        if dim is not None:
            dims[dim] = axis if dims[dim] is None else (*np.atleast_1d(dims[dim]).tolist(), axis)
    return PartitionSpec(*dims)


def shard_function(
    program: Program, plan: IntraPlan, devices: Sequence[jax.Device], parameters: Any, *inputs: Any
) -> ShardedFunction:
    """`parameters` and `inputs` give the pytrees; arrays or jax.ShapeDtypeStruct."""
    axes = plan.mesh.named_sizes
    names = [name for name, _ in axes]
    sizes = [size for _, size in axes]
    mesh = Mesh(np.array(devices).reshape(sizes), names)

    def sharding(number: int) -> NamedSharding:
        return NamedSharding(mesh, spec_of(plan.layouts.get(number, plan.mesh.whole), names))

    num_parameters = len(program.parameters)
    numbers = (*program.parameters, *program.inputs)
    leaves, tree = jax.tree.flatten((parameters, *inputs))
    assert len(leaves) == len(numbers), (len(leaves), len(numbers))
    shardings = jax.tree.unflatten(tree, map(sharding, numbers))
    run = _runner(program, plan, lambda layout: NamedSharding(mesh, spec_of(layout, names)))
    outputs = program.output_tree.unflatten(
        NamedSharding(mesh, PartitionSpec()) if plan.ends_are_whole else sharding(number)
        for number in program.outputs
    )
    call = jax.jit(run, in_shardings=shardings, out_shardings=outputs)
    assert len(jax.tree.leaves(shardings[0])) == num_parameters
    return ShardedFunction(call, shardings[0], shardings[1:], mesh)


def _runner(
    program: Program, plan: IntraPlan, sharding: Callable[[Layout], NamedSharding]
) -> Callable[..., Any]:
    pinned = _pinned(program, plan)

    def run(*arguments: Any) -> Any:
        values = dict(program.constants)
        numbers = (*program.parameters, *program.inputs)
        values |= zip(numbers, jax.tree.leaves(arguments), strict=True)
        copies: dict[tuple[int, Layout], Any] = {}

        def brought(number: int, layout: Layout) -> Any:
            """The value in another layout, brought there once for all that want it."""
            if (number, layout) not in copies:
                copies[number, layout] = jax.lax.with_sharding_constraint(values[number], sharding(layout))
            return copies[number, layout]

        for index, step in enumerate(program.steps):
            operands = [
                brought(number, plan.wanted[index, position])
                if (index, position) in plan.wanted
                else values[number]
                for position, number in enumerate(step.operands)
            ]
            for number, value in zip(step.results, _bind(step, operands), strict=True):
                values[number] = (
                    jax.lax.with_sharding_constraint(value, sharding(plan.layouts[number]))
                    if number in pinned
                    else value
                )
        return program.output_tree.unflatten(values[number] for number in program.outputs)

    return run


def _pinned(program: Program, plan: IntraPlan) -> frozenset[int]:
    """Results of operators that choose or sum, and what one node takes from another: the rest follows."""
    found = {tensor for node in plan.choice.nodes for tensor in node.required}
    for node, strategy in zip(plan.choice.nodes, plan.choice.strategies, strict=True):
        for index, cuts in zip(node.members, strategy.cuts, strict=True):
            is_sum = any(cut.label in plan.graph.operators[index].summed for cut in cuts)
            if index == node.members[0] or is_sum:
                found |= set(program.steps[index].results)
    found |= {
        tensor for index, position in plan.wanted for tensor in program.steps[index].operands[position:][:1]
    }
    return frozenset(found & plan.layouts.keys())


def _bind(step: Step, operands: Sequence[Any]) -> Sequence[Any]:
    results = step.primitive.bind(*operands, **step.primitive.get_bind_params(dict(step.options)))
    return results if step.primitive.multiple_results else [results]
