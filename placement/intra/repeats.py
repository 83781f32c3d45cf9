"""Layers that repeat: nodes that are alike and stand alike get one class, which is solved once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from placement.intra.nodes import Node
from vocabulary.layer_graph import LayerGraph

# Fewer nodes than any layer has, and more than the query, key and value of one, which are no layers.
MIN_PERIOD = 8


@dataclass(frozen=True, slots=True)
class Classes:
    """`of[node]` is a node's class; `members[class]` its nodes in order, the first stands for all."""

    of: tuple[int, ...]
    members: tuple[tuple[int, ...], ...]


def classes_of(nodes: Sequence[Node], graph: LayerGraph, *, ties_repeats: bool = True) -> Classes:
    """Nodes of repeated layers together, any other alone."""
    first = list(range(len(nodes)))
    if ties_repeats:
        _tie(first, 0, len(nodes), _kinds(nodes, graph), _wires(nodes))
    numbers = {node: number for number, node in enumerate(dict.fromkeys(first))}
    of = tuple(numbers[node] for node in first)
    members: list[list[int]] = [[] for _ in numbers]
    for node, number in enumerate(of):
        members[number].append(node)
    return Classes(of, tuple(map(tuple, members)))


def _tie(first: list[int], start: int, stop: int, kinds: np.ndarray, wires: list[tuple[int, ...]]) -> None:
    """Find the repeat that covers most of start .. stop, tie it, and go on before and behind it."""
    found = _longest(kinds[start:stop])
    if found is None:
        return
    begin, period, count = found[0] + start, found[1], found[2]
    end = begin + period * count
    rounds = [range(begin + period * number, begin + period * (number + 1)) for number in range(count)]
    # The first round is fed by what stands before; from the second on all must be fed alike.
    if not all(_are_wired_alike(wires, *two, period) for two in pairwise(rounds[1:])):
        return
    for nodes in rounds[1:]:
        first[nodes.start : nodes.stop] = rounds[0]
    _tie(first, start, begin, kinds, wires)
    _tie(first, end, stop, kinds, wires)


def _longest(kinds: np.ndarray) -> tuple[int, int, int] | None:
    """(begin, period, count) of the repeat that covers most nodes; of equal ones the shortest period."""
    best, covered = None, 0
    for period in range(MIN_PERIOD, len(kinds) // 2 + 1):
        begin, length = _longest_run(kinds[:-period] == kinds[period:])
        count = length // period + 1
        if count >= 2 and count * period > covered:
            best, covered = (begin, period, count), count * period
    return best


def _longest_run(is_equal: np.ndarray) -> tuple[int, int]:
    """Where the longest run of True begins, and its length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_equal.astype(np.int8), [0]))))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    longest = int(np.argmax(lengths))
    return int(edges[2 * longest]), int(lengths[longest])


def _are_wired_alike(wires: list[tuple[int, ...]], one: range, other: range, period: int) -> bool:
    """Every wire comes from as far back, or from the same node."""
    return all(
        b - a in (0, period)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(wires[left], wires[right], strict=True)
    )


def _kinds(nodes: Sequence[Node], graph: LayerGraph) -> np.ndarray:
    """A number for each node, equal where all that the integer program sees of them is equal."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(_kind(node, graph), len(seen)) for node in nodes], dtype=np.int64)


def _kind(node: Node, graph: LayerGraph) -> Hashable:
    shapes = tuple((graph.tensors[one].shape, graph.tensors[one].element_bytes) for one in node.produced)
    taken = tuple((graph.tensors[one].shape, graph.tensors[one].element_bytes) for one in node.required)
    return tuple(graph.operators[index].kind for index in node.members), shapes, taken, node.strategies


def _wires(nodes: Sequence[Node]) -> list[tuple[int, ...]]:
    """Which nodes feed each node."""
    owner = {tensor: number for number, node in enumerate(nodes) for tensor in node.produced}
    return [tuple(owner[tensor] for tensor in node.required) for node in nodes]
