"""What a device holds while the graph runs: parameters always, other tensors from maker to last taker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from placement.intra.nodes import Node
from vocabulary.layer_graph import LayerGraph


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Of each tensor that is held: the first and the last operator during which it is.

    Held are parameters, inputs, results of operators that choose, and what goes from node to node: the rest
    is taken as fused. `copies[operator]` are (node, required index) of tensors it may take in another layout.
    """

    tensors: np.ndarray
    first: np.ndarray
    last: np.ndarray
    copies: tuple[tuple[tuple[int, int], ...], ...]

    def at(self, operator: int) -> np.ndarray:
        """The tensors that are held while an operator runs."""
        return self.tensors[(self.first <= operator) & (operator <= self.last)]


def lifetimes(nodes: Sequence[Node], graph: LayerGraph) -> Lifetimes:
    """In the order of the graph's operators."""
    end = len(graph.operators) - 1
    made = {tensor: index for index, one in enumerate(graph.operators) for tensor in one.results}
    used = {tensor: index for index, one in enumerate(graph.operators) for tensor in one.operands}
    used |= dict.fromkeys((*graph.outputs, *graph.parameters), end)
    held = {tensor for node in nodes for tensor in (*node.required, *_chosen(node, graph))}
    held |= {*graph.parameters, *graph.inputs, *graph.outputs} & {
        tensor for node in nodes for tensor in node.produced
    }
    tensors = sorted(held)
    return Lifetimes(
        tensors=np.array(tensors, dtype=np.int64),
        first=np.array([made.get(tensor, 0) for tensor in tensors], dtype=np.int64),
        last=np.array([used.get(tensor, made.get(tensor, 0)) for tensor in tensors], dtype=np.int64),
        copies=_copies(nodes, graph),
    )


def _chosen(node: Node, graph: LayerGraph) -> tuple[int, ...]:
    return graph.operators[node.members[0]].results if node.members else ()


def _copies(nodes: Sequence[Node], graph: LayerGraph) -> tuple[tuple[tuple[int, int], ...], ...]:
    found: list[list[tuple[int, int]]] = [[] for _ in graph.operators]
    for number, node in enumerate(nodes):
        for index, tensor in enumerate(node.required):
            uses = (one for one in node.members if tensor in graph.operators[one].operands)
            found[next(uses)].append((number, index))
    return tuple(map(tuple, found))
