"""A chosen strategy for every node, and what it costs: computed from the graph, not taken from the solver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from placement.intra.collectives import Collective, reshard, total_s
from placement.intra.liveness import Lifetimes
from placement.intra.mesh import DeviceMesh
from placement.intra.nodes import Freedom, Node, Strategy
from placement.intra.strategies import spread
from vocabulary.layer_graph import LayerGraph, Layout


@dataclass(frozen=True, slots=True)
class Exchange:
    """One collective of a plan: of which tensor, and whether it only changes a layout (resharding)."""

    tensor: int
    collective: Collective
    is_resharding: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """Estimated seconds of one run, and bytes on each device."""

    compute_s: float
    communication_s: float
    resharding_s: float
    parameter_bytes: float
    peak_bytes: float

    @property
    def total_s(self) -> float:
        return self.compute_s + self.communication_s + self.resharding_s


@dataclass(frozen=True, slots=True)
class Choice:
    """One strategy a node."""

    nodes: tuple[Node, ...]
    strategies: tuple[Strategy, ...]

    def layouts(self) -> Mapping[int, Layout]:
        """Of every tensor that a node makes; any other is whole."""
        return {
            tensor: layout
            for node, strategy in zip(self.nodes, self.strategies, strict=True)
            for tensor, layout in zip(node.produced, strategy.produced, strict=True)
        }


def exchanges(choice: Choice, graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom) -> tuple[Exchange, ...]:
    """All collectives of a run, in the order of the nodes."""
    layouts = choice.layouts()
    wanted: dict[int, dict[Layout, None]] = {}
    for node, strategy in zip(choice.nodes, choice.strategies, strict=True):
        for tensor, layout in zip(node.required, strategy.required, strict=True):
            wanted.setdefault(tensor, {})[layout] = None
    if freedom.ends_are_whole:
        for tensor in set(graph.outputs) & layouts.keys():
            wanted.setdefault(tensor, {})[mesh.whole] = None
    found: list[Exchange] = []
    for node, strategy in zip(choice.nodes, choice.strategies, strict=True):
        found += [Exchange(node.produced[0], one, is_resharding=False) for one in strategy.collectives]
        for tensor in node.produced:
            for layout in wanted.get(tensor, ()):
                moves = reshard(graph.tensors[tensor], layouts[tensor], layout, mesh)
                found += [Exchange(tensor, one, is_resharding=True) for one in moves]
    return tuple(found)


def cost_of(choice: Choice, graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom, alive: Lifetimes) -> Cost:
    """What a choice costs."""
    moved = exchanges(choice, graph, mesh, freedom)
    layouts = choice.layouts()
    held = held_bytes(choice, graph, mesh, alive)
    return Cost(
        compute_s=sum(strategy.compute_s for strategy in choice.strategies),
        communication_s=total_s(tuple(one.collective for one in moved if not one.is_resharding)),
        resharding_s=total_s(tuple(one.collective for one in moved if one.is_resharding)),
        parameter_bytes=sum(mesh.local_bytes(graph.tensors[one], layouts[one]) for one in graph.parameters),
        peak_bytes=float(held.max(initial=0.0)),
    )


def held_bytes(choice: Choice, graph: LayerGraph, mesh: DeviceMesh, alive: Lifetimes) -> np.ndarray:
    """Bytes on each device while each operator runs, with the copies that it takes in other layouts."""
    layouts = choice.layouts()
    change = np.zeros(len(graph.operators) + 1)
    sizes = [mesh.local_bytes(graph.tensors[one], layouts[one]) for one in map(int, alive.tensors)]
    np.add.at(change, alive.first, sizes)
    np.add.at(change, alive.last + 1, [-size for size in sizes])
    held = np.cumsum(change)[:-1]
    for operator, copies in enumerate(alive.copies):
        for number, index in copies:
            tensor, layout = choice.nodes[number].required[index], choice.strategies[number].required[index]
            if reshard(graph.tensors[tensor], layouts[tensor], layout, mesh):
                held[operator] += mesh.local_bytes(graph.tensors[tensor], layout)
    return held


def wanted_layouts(choice: Choice, graph: LayerGraph, mesh: DeviceMesh) -> Mapping[tuple[int, int], Layout]:
    """(operator, operand position) -> the layout to bring the operand to, where it lies otherwise."""
    layouts = choice.layouts()
    found: dict[tuple[int, int], Layout] = {}
    for node, strategy in zip(choice.nodes, choice.strategies, strict=True):
        for index, cuts in zip(node.members, strategy.cuts, strict=True):
            way = spread(graph.operators[index], cuts, graph, mesh)
            assert way is not None, (graph.operators[index], cuts)
            for position, tensor in enumerate(graph.operators[index].operands):
                if tensor in layouts and layouts[tensor] != way.operands[position]:
                    found[index, position] = way.operands[position]
    return found


def pick(nodes: Sequence[Node], chosen: Sequence[int]) -> Choice:
    """The choice by numbers of strategies."""
    return Choice(tuple(nodes), tuple(node.strategies[one] for node, one in zip(nodes, chosen, strict=True)))
