"""What must be sent between devices: the sums of parts, and the way from one layout to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from placement.intra.mesh import DeviceMesh
from vocabulary.layer_graph import GraphTensor, Layout

Kind = Literal["all_reduce", "reduce_scatter", "all_gather", "all_to_all"]


@dataclass(frozen=True, slots=True)
class Collective:
    """One exchange over one axis. `num_bytes` is what the formulas of MeshAxis take."""

    kind: Kind
    axis: str
    num_bytes: float
    seconds: float


def total_s(collectives: tuple[Collective, ...]) -> float:
    return sum(one.seconds for one in collectives)


def reshard(tensor: GraphTensor, source: Layout, target: Layout, mesh: DeviceMesh) -> tuple[Collective, ...]:
    """The exchanges that bring a tensor from one layout to another; to cut what is whole costs nothing.

    Cuts come first, then exchanges of one cut for another, then gathers, so that the least is sent.
    """
    now = list(source)
    for index, (have, want) in enumerate(zip(source, target, strict=True)):
        if have is None and want is not None:
            now[index] = want
    found: list[Collective] = []
    for index, axis in enumerate(mesh.axes):
        if now[index] is not None and target[index] not in (None, now[index]):
            num_bytes = mesh.local_bytes(tensor, tuple(now))
            found.append(Collective("all_to_all", axis.name, num_bytes, axis.all_to_all_s(num_bytes)))
            now[index] = target[index]
    for index, axis in enumerate(mesh.axes):
        if now[index] is not None and target[index] is None:
            now[index] = None
            num_bytes = mesh.local_bytes(tensor, tuple(now))
            found.append(Collective("all_gather", axis.name, num_bytes, axis.all_gather_s(num_bytes)))
    return tuple(found)


def reduce_parts(
    tensor: GraphTensor, layout: Layout, mesh: DeviceMesh, *, axis_index: int, scatter_dim: int | None
) -> tuple[Collective, Layout]:
    """Sums the parts that the devices of an axis hold: whole on each, or cut along a dimension."""
    axis = mesh.axes[axis_index]
    num_bytes = mesh.local_bytes(tensor, layout)
    if scatter_dim is None:
        return Collective("all_reduce", axis.name, num_bytes, axis.all_reduce_s(num_bytes)), layout
    scattered = tuple(scatter_dim if index == axis_index else dim for index, dim in enumerate(layout))
    return Collective("reduce_scatter", axis.name, num_bytes, axis.all_gather_s(num_bytes)), scattered
