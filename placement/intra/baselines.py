"""Plans to compare with: everything on every device, and parameters laid out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from placement.intra.liveness import lifetimes
from placement.intra.mesh import DeviceMesh
from placement.intra.nodes import Freedom, Node, nodes_of
from placement.intra.plan import Cost, cost_of, pick
from placement.intra.search import IntraPlan, parallelize
from vocabulary.layer_graph import LayerGraph, Layout


def replicated_cost(graph: LayerGraph, mesh: DeviceMesh) -> Cost:
    """Every device holds and computes everything."""
    freedom = Freedom()
    nodes = nodes_of(graph, mesh, freedom)
    choice = pick(nodes, [_whole(node) for node in nodes])
    return cost_of(choice, graph, mesh, freedom, lifetimes(nodes, graph))


def plan_by_hand(
    graph: LayerGraph, mesh: DeviceMesh, layouts: Mapping[str, Layout], *, freedom: Freedom
) -> IntraPlan:
    """Parameters lie as `layouts` say, by name; all else is chosen as well as can be."""
    numbers = {graph.tensors[number].name: number for number in graph.parameters}
    fixed = tuple((numbers[name], layout) for name, layout in layouts.items())
    return parallelize(graph, mesh, freedom=replace(freedom, fixed=fixed))


def _whole(node: Node) -> int:
    return next(
        number
        for number, strategy in enumerate(node.strategies)
        if all(cut.label is None for cuts in strategy.cuts for cut in cuts)
        and all(dim is None for layout in strategy.produced for dim in layout)
    )
