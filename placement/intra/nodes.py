"""The nodes of the integer program: one operator that chooses, and the light ones that follow it.

As in Alpa, an operator that is no more than a pass over its operands follows the deepest of them, unless one
of the layouts that this may have does not fit it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from placement.intra.collectives import Collective, reshard, total_s
from placement.intra.mesh import DeviceMesh
from placement.intra.strategies import AxisCut, Spread, following, layouts_of, spreads
from vocabulary.layer_graph import LayerGraph, Layout


@dataclass(frozen=True, slots=True)
class Strategy:
    """One way to run a node. `produced` and `required` go with the node's; `cuts` with its members.

    `collectives` are inside the node: sums of parts, and exchanges between its own operators.
    """

    produced: tuple[Layout, ...]
    required: tuple[Layout, ...]
    cuts: tuple[tuple[AxisCut, ...], ...]
    compute_s: float
    collectives: tuple[Collective, ...]

    @property
    def cost_s(self) -> float:
        return self.compute_s + total_s(self.collectives)


@dataclass(frozen=True, slots=True)
class Node:
    """`members` are operators, the one that chooses first; none for a parameter or an input.

    `produced` are the tensors it makes, `required` the tensors of other nodes that it takes.
    """

    members: tuple[int, ...]
    produced: tuple[int, ...]
    required: tuple[int, ...]
    strategies: tuple[Strategy, ...]


@dataclass(frozen=True, slots=True)
class Freedom:
    """What may be chosen. `ends_are_whole`: inputs and outputs are on every device.

    `fixed`: layouts given for some parameters or inputs; `scatters`: sums may stay scattered; `follows`:
    light operators follow an operand, rather than choose.
    """

    ends_are_whole: bool = False
    scatters: bool = True
    fixed: tuple[tuple[int, Layout], ...] = ()
    follows: bool = True


def nodes_of(graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom) -> tuple[Node, ...]:
    """Nodes in the order in which they can run; a parameter stands before the first that takes it."""
    drafts = _drafts(graph, mesh, freedom)
    order = sorted(drafts, key=lambda draft: _first_use(draft, graph))
    crossing = _crossing(graph, drafts)
    return tuple(draft.finish(graph, mesh, crossing) for draft in order)


@final
@dataclass(slots=True)
class _Draft:
    """A node that still gathers followers. One entry of `layouts` and `spreads` for each strategy."""

    depth: int
    layouts: list[dict[int, Layout]]
    members: list[int] = field(default_factory=list)
    spreads: list[list[Spread]] = field(default_factory=list)

    def add(self, index: int, graph: LayerGraph, ways: list[Spread]) -> None:
        self.members.append(index)
        for layouts, members, way in zip(self.layouts, self.spreads, ways, strict=True):
            layouts.update(zip(graph.operators[index].results, way.results, strict=True))
            members.append(way)

    def finish(self, graph: LayerGraph, mesh: DeviceMesh, crossing: frozenset[int]) -> Node:
        slots = self._slots(graph, crossing)
        strategies = [
            Strategy(
                produced=tuple(layouts.values()),
                required=tuple(ways[member].operands[position] for member, position in slots),
                cuts=tuple(way.cuts for way in ways),
                compute_s=_compute_s(self.members, ways, graph, mesh, crossing),
                collectives=self._collectives(layouts, ways, graph, mesh),
            )
            for layouts, ways in zip(self.layouts, self.spreads, strict=True)
        ]
        return Node(
            members=tuple(self.members),
            produced=tuple(self.layouts[0]),
            required=tuple(graph.operators[self.members[one]].operands[position] for one, position in slots),
            strategies=_distinct(strategies),
        )

    def _slots(self, graph: LayerGraph, crossing: frozenset[int]) -> list[tuple[int, int]]:
        """(member, operand) of tensors from other nodes; those that always lie alike are one."""
        found: dict[object, tuple[int, int]] = {}
        for member, index in enumerate(self.members):
            for position, tensor in enumerate(graph.operators[index].operands):
                if tensor in crossing and tensor not in self.layouts[0]:
                    wanted = tuple(ways[member].operands[position] for ways in self.spreads)
                    found.setdefault((tensor, wanted), (member, position))
        return list(found.values())

    def _collectives(
        self, layouts: dict[int, Layout], ways: list[Spread], graph: LayerGraph, mesh: DeviceMesh
    ) -> tuple[Collective, ...]:
        found = [exchange for way in ways for exchange in way.collectives]
        wanted = dict.fromkeys(
            (tensor, layout)
            for index, way in zip(self.members, ways, strict=True)
            for tensor, layout in zip(graph.operators[index].operands, way.operands, strict=True)
            if tensor in layouts
        )
        for tensor, layout in wanted:
            found += reshard(graph.tensors[tensor], layouts[tensor], layout, mesh)
        return tuple(found)


def _drafts(graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom) -> list[_Draft]:
    drafts: list[_Draft] = []
    owner: dict[int, _Draft] = {}
    for tensor in dict.fromkeys((*graph.parameters, *graph.inputs)):
        layouts = _source_layouts(tensor, graph, mesh, freedom)
        draft = _Draft(0, [{tensor: layout} for layout in layouts], spreads=[[] for _ in layouts])
        drafts.append(draft)
        owner[tensor] = draft
    for index, operator in enumerate(graph.operators):
        if not any(tensor in owner for tensor in operator.operands):
            continue  # made of constants alone, and so a constant that every device has
        draft = _followed(index, graph, mesh, owner) if operator.is_light and freedom.follows else None
        if draft is None:
            ways = spreads(operator, graph, mesh, scatters=freedom.scatters)
            depth = 1 + max(owner[tensor].depth for tensor in operator.operands if tensor in owner)
            draft = _Draft(depth, [{} for _ in ways], spreads=[[] for _ in ways])
            draft.add(index, graph, list(ways))
            drafts.append(draft)
        owner |= dict.fromkeys(operator.results, draft)
    return drafts


def _source_layouts(tensor: int, graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom) -> tuple[Layout, ...]:
    fixed = dict(freedom.fixed)
    if tensor in fixed:
        return (fixed[tensor],)
    if freedom.ends_are_whole and tensor in graph.inputs:
        return (mesh.whole,)
    return layouts_of(graph.tensors[tensor], mesh)


def _followed(index: int, graph: LayerGraph, mesh: DeviceMesh, owner: dict[int, _Draft]) -> _Draft | None:
    """The draft that takes the operator in, which is then done; None if no operand can be followed."""
    operator = graph.operators[index]
    positions = [position for position, tensor in enumerate(operator.operands) if tensor in owner]
    positions.sort(key=lambda one: _eligibility(operator.operands[one], graph, owner), reverse=True)
    for position in positions:
        tensor = operator.operands[position]
        draft = owner[tensor]
        ways = [following(operator, position, layouts[tensor], graph, mesh) for layouts in draft.layouts]
        if None not in ways:
            draft.add(index, graph, [way for way in ways if way is not None])
            return draft
    return None


def _eligibility(tensor: int, graph: LayerGraph, owner: dict[int, _Draft]) -> tuple[int, int]:
    """The deepest is followed, of several the largest."""
    return owner[tensor].depth, graph.tensors[tensor].num_bytes


def _crossing(graph: LayerGraph, drafts: list[_Draft]) -> frozenset[int]:
    """Tensors that one node makes and another takes, and the outputs."""
    owner = {tensor: number for number, draft in enumerate(drafts) for tensor in draft.layouts[0]}
    found = {tensor for tensor in graph.outputs if tensor in owner}
    for number, draft in enumerate(drafts):
        for index in draft.members:
            operands = graph.operators[index].operands
            found |= {tensor for tensor in operands if owner.get(tensor, number) != number}
    return frozenset(found)


def _first_use(draft: _Draft, graph: LayerGraph) -> tuple[int, int]:
    if draft.members and not (set(graph.parameters) | set(graph.inputs)) & draft.layouts[0].keys():
        return draft.members[0], 1
    (source, *_) = draft.layouts[0]
    uses = (index for index, operator in enumerate(graph.operators) if source in operator.operands)
    return next(uses, len(graph.operators)), 0


def _compute_s(
    members: list[int], ways: list[Spread], graph: LayerGraph, mesh: DeviceMesh, crossing: frozenset[int]
) -> float:
    """The choosing operator reads and writes memory; a follower writes what leaves the node, or reads to sum.

    Everything else is fused into these passes.
    """
    seconds = 0.0
    for index, way in zip(members, ways, strict=True):
        operator = graph.operators[index]
        read = sum(map(mesh.local_bytes, (graph.tensors[one] for one in operator.operands), way.operands))
        written = sum(map(mesh.local_bytes, (graph.tensors[one] for one in operator.results), way.results))
        if not operator.is_light:
            labels = tuple(cut.label for cut in way.cuts)
            seconds += mesh.pass_s(flops=operator.flops / mesh.num_parts(labels), num_bytes=read + written)
        elif operator.flops and operator.summed:
            seconds += mesh.pass_s(flops=0.0, num_bytes=read)
        elif operator.flops and crossing.intersection(operator.results):
            seconds += mesh.pass_s(flops=0.0, num_bytes=written)
    return seconds


def _distinct(strategies: list[Strategy]) -> tuple[Strategy, ...]:
    """The cheapest of those that look alike from outside."""
    best: dict[object, Strategy] = {}
    for one in strategies:
        key = one.produced, one.required
        if key not in best or one.cost_s < best[key].cost_s:
            best[key] = one
    return tuple(best.values())
