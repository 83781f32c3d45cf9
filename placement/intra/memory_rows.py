"""Memory in the integer program: what a device holds at one operator, as a row over the variables."""

from __future__ import annotations

from collections.abc import Sequence

from placement.intra.collectives import reshard
from placement.intra.integer_program import IntegerProgram, Row
from placement.intra.links import Port
from placement.intra.liveness import Lifetimes
from placement.intra.nodes import Node
from placement.intra.repeats import Classes


def memory_row(
    operator: int, program: IntegerProgram, nodes: Sequence[Node], classes: Classes, alive: Lifetimes
) -> Row:
    """Bytes on each device while `operator` runs: coefficients of the strategies, and of copies made."""
    graph, mesh, row = program.graph, program.mesh, Row()
    ports = ports_of(nodes, classes)
    for tensor in map(int, alive.at(operator)):
        port = ports[tensor]
        for number, strategy in enumerate(program.nodes[port.node_class].strategies):
            column = program.firsts[port.node_class] + number
            num_bytes = mesh.local_bytes(graph.tensors[tensor], strategy.produced[port.index])
            row[column] = row.get(column, 0.0) + num_bytes
    for node, index in alive.copies[operator]:
        tensor = nodes[node].required[index]
        pairs = program.pairs.get((ports[tensor], Port(classes.of[node], index)), {})
        for (have, want), column in pairs.items():
            if reshard(graph.tensors[tensor], have, want, mesh):
                row[column] = row.get(column, 0.0) + mesh.local_bytes(graph.tensors[tensor], want)
    return row


def ports_of(nodes: Sequence[Node], classes: Classes) -> dict[int, Port]:
    """Where each tensor is made."""
    return {
        tensor: Port(classes.of[number], index)
        for number, node in enumerate(nodes)
        for index, tensor in enumerate(node.produced)
    }
