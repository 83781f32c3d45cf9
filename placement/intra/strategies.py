"""The ways to spread one operator over the mesh: which label every mesh axis cuts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from placement.intra.collectives import Collective, reduce_parts
from placement.intra.mesh import DeviceMesh
from vocabulary.layer_graph import GraphTensor, Labels, LayerGraph, Layout, Operator


@dataclass(frozen=True, slots=True)
class AxisCut:
    """The label that an axis cuts, None for replicas. Parts of sums: each device keeps its cut of `scatter`,

    or, if that is None, all keep the whole.
    """

    label: int | None = None
    scatter: int | None = None


WHOLE = AxisCut()


@dataclass(frozen=True, slots=True)
class Spread:
    """An operator spread over the mesh: one cut for each axis, and what follows from them."""

    cuts: tuple[AxisCut, ...]
    operands: tuple[Layout, ...]
    results: tuple[Layout, ...]
    collectives: tuple[Collective, ...]


def layouts_of(tensor: GraphTensor, mesh: DeviceMesh) -> tuple[Layout, ...]:
    """Every layout whose cuts are even, the whole one first."""
    dims = (None, *range(len(tensor.shape)))
    return tuple(
        layout for layout in product(dims, repeat=len(mesh.axes)) if _is_even(tensor.shape, layout, mesh)
    )


def spreads(operator: Operator, graph: LayerGraph, mesh: DeviceMesh, *, scatters: bool) -> tuple[Spread, ...]:
    """All ways to spread an operator, the whole one first; `scatters`: also those that reduce-scatter."""
    cuts = tuple(_axis_cuts(operator, scatters=scatters))
    found = (spread(operator, combined, graph, mesh) for combined in product(cuts, repeat=len(mesh.axes)))
    return tuple(one for one in found if one is not None)


def spread(
    operator: Operator, cuts: tuple[AxisCut, ...], graph: LayerGraph, mesh: DeviceMesh
) -> Spread | None:
    """What the cuts mean for operands and results; None if a label cannot be cut into so many parts."""
    labels = tuple(cut.label for cut in cuts)
    if not _is_even(operator.sizes, labels, mesh):
        return None
    results: list[Layout] = []
    collectives: list[Collective] = []
    for tensor, row in zip(operator.results, operator.result_labels, strict=True):
        layout = _layout(row, labels)
        for index, cut in enumerate(cuts):
            if cut.label not in operator.summed:
                continue
            scatter_dim = None if cut.scatter is None else row.index(cut.scatter)
            exchange, layout = reduce_parts(
                graph.tensors[tensor], layout, mesh, axis_index=index, scatter_dim=scatter_dim
            )
            collectives.append(exchange)
        if not _is_even(graph.tensors[tensor].shape, layout, mesh):
            return None
        results.append(layout)
    operands = tuple(_layout(row, labels) for row in operator.operand_labels)
    return Spread(cuts, operands, tuple(results), tuple(collectives))


def following(
    operator: Operator, position: int, layout: Layout, graph: LayerGraph, mesh: DeviceMesh
) -> Spread | None:
    """The spread under which operand `position` lies as it does already; None if there is none."""
    row = operator.operand_labels[position]
    labels = tuple(None if dim is None else row[dim] for dim in layout)
    if any(dim is not None and label is None for dim, label in zip(layout, labels, strict=True)):
        return None
    return spread(operator, tuple(AxisCut(label) for label in labels), graph, mesh)


def _axis_cuts(operator: Operator, *, scatters: bool) -> Iterator[AxisCut]:
    yield WHOLE
    if operator.is_opaque:
        return
    shared = [label for label in operator.result_labels[0] if label is not None]
    for label in range(len(operator.sizes)):
        yield AxisCut(label)
        if scatters and label in operator.summed and len(operator.results) == 1:
            yield from (AxisCut(label, scatter) for scatter in shared)


def _layout(row: Labels, labels: tuple[int | None, ...]) -> Layout:
    return tuple(row.index(label) if label is not None and label in row else None for label in labels)


def _is_even(sizes: tuple[int, ...], cut: tuple[int | None, ...], mesh: DeviceMesh) -> bool:
    """Whether every number of `cut`, which counts into `sizes`, is cut into equal parts."""
    parts: dict[int, int] = {}
    for axis, index in zip(mesh.axes, cut, strict=True):
        if index is not None:
            parts[index] = parts.get(index, 1) * axis.size
    return all(sizes[index] % count == 0 for index, count in parts.items())
