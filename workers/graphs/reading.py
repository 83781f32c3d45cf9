"""From a program to the plain layer graph that is placed."""

from __future__ import annotations

import jax

from vocabulary.layer_graph import GraphTensor, LayerGraph, Operator
from workers.graphs.program import Program, Step
from workers.graphs.rules import label_step


def layer_graph(program: Program) -> LayerGraph:
    """Tensors have the numbers of the program's values, operators those of its steps."""
    return LayerGraph(
        tensors=tuple(
            _tensor(value, program.names.get(number, "")) for number, value in enumerate(program.values)
        ),
        operators=tuple(_operator(step, program.values) for step in program.steps),
        parameters=program.parameters,
        inputs=program.inputs,
        outputs=program.outputs,
    )


def _tensor(value: jax.ShapeDtypeStruct, name: str) -> GraphTensor:
    # Keys of random numbers have no item size; they are a few words.
    element_bytes = getattr(value.dtype, "itemsize", 8)
    return GraphTensor(tuple(map(int, value.shape)), int(element_bytes), str(value.dtype), name)


def _operator(step: Step, values: tuple[jax.ShapeDtypeStruct, ...]) -> Operator:
    labelled = label_step(
        step.primitive.name,
        step.options,
        tuple(tuple(map(int, values[number].shape)) for number in step.operands),
        tuple(tuple(map(int, values[number].shape)) for number in step.results),
    )
    return Operator(
        kind=step.primitive.name,
        operands=step.operands,
        results=step.results,
        operand_labels=labelled.operands,
        result_labels=labelled.results,
        sizes=labelled.sizes,
        summed=labelled.summed,
        flops=labelled.flops,
        is_light=labelled.is_light,
        is_opaque=labelled.is_opaque,
    )
