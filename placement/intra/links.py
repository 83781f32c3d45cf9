"""The edges of the integer program: a tensor from the node that makes it to all that take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from placement.intra.nodes import Freedom, Node
from placement.intra.repeats import Classes
from vocabulary.layer_graph import LayerGraph


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A place of a class of nodes: the n-th tensor that it takes or makes."""

    node_class: int
    index: int


@dataclass(frozen=True, slots=True)
class Link:
    """`tensor` goes from `source` to all of `targets`, and that happens `count` times in equal layers.

    A layout that several targets want is made once. `is_output`: it must also be whole at the end.
    """

    tensor: int
    source: Port
    targets: tuple[Port, ...]
    is_output: bool
    count: int = 1


def links_of(
    nodes: Sequence[Node], classes: Classes, graph: LayerGraph, freedom: Freedom
) -> tuple[Link, ...]:
    """Links that look alike are one, counted."""
    takers: dict[int, list[Port]] = {}
    for number, node in enumerate(nodes):
        for index, tensor in enumerate(node.required):
            takers.setdefault(tensor, []).append(Port(classes.of[number], index))
    ends: set[int] = set(graph.outputs) if freedom.ends_are_whole else set()
    found: dict[object, Link] = {}
    for number, node in enumerate(nodes):
        for index, tensor in enumerate(node.produced):
            source, targets = Port(classes.of[number], index), tuple(sorted(takers.get(tensor, ())))
            if not targets and tensor not in ends:
                continue
            link = Link(tensor, source, targets, tensor in ends)
            key = source, targets, tensor in ends
            found[key] = (
                replace(link, tensor=found[key].tensor, count=found[key].count + 1)
                if (key in found)
                else link
            )
    return tuple(found.values())
