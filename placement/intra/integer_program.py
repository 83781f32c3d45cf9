"""Alpa's integer program (OSDI 2022, section 4.2), solved by HiGHS.

One binary for each strategy of each class of nodes. For a tensor that goes from one node to others, the pairs
(layout made, layout taken) are continuous variables whose sums are those binaries: with these whole, so are
the pairs. Unlike Alpa's, a layout that several nodes take is made, and paid, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from placement.intra.collectives import reshard, total_s
from placement.intra.links import Link, Port
from placement.intra.mesh import DeviceMesh
from placement.intra.nodes import Node
from vocabulary.layer_graph import LayerGraph, Layout

# The solver's tolerances are about 1e-6 of its unit, so costs are given in nanoseconds.
UNIT_S = 1e-9
# The part of a pass over memory that holding costs: far below what any choice costs, and above the tolerance.
TIE_BREAK = 1e-5
# milp's status when nothing fits.
_INFEASIBLE = 2

Row = dict[int, float]
Bounded = tuple[Row, float, float]


@dataclass(frozen=True, slots=True)
class Solved:
    """The strategy of each class; `gap` is how far, relatively, the optimum may at most lie below."""

    chosen: tuple[int, ...]
    objective: float
    gap: float


@final
@dataclass(slots=True)
class IntegerProgram:
    """Variables and rows. `nodes` are one of each class, which stand for `counts` each."""

    nodes: Sequence[Node]
    counts: Sequence[int]
    graph: LayerGraph
    mesh: DeviceMesh
    costs: list[float] = field(default_factory=list)
    rows: list[Bounded] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    pairs: dict[tuple[Port, Port], dict[tuple[Layout, Layout], int]] = field(default_factory=dict)
    num_binaries: int = 0
    # Bytes on each device at an operator.
    held: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        for node, count in zip(self.nodes, self.counts, strict=True):
            self.firsts.append(len(self.costs))
            self.costs += [
                (strategy.cost_s + self._tie_break_s(node, number)) * count / UNIT_S
                for number, strategy in enumerate(node.strategies)
            ]
            self.rows.append((dict.fromkeys(range(self.firsts[-1], len(self.costs)), 1.0), 1.0, 1.0))
        self.num_binaries = len(self.costs)

    @property
    def num_variables(self) -> int:
        return len(self.costs)

    def add_links(self, links: Iterable[Link]) -> None:
        for link in links:
            self._add_link(link)

    def made(self, port: Port, layout: Layout) -> Row:
        """The binaries under which a class makes its tensor in a layout."""
        return self._where(port, [one.produced for one in self.nodes[port.node_class].strategies], layout)

    def taken(self, port: Port, layout: Layout) -> Row:
        return self._where(port, [one.required for one in self.nodes[port.node_class].strategies], layout)

    def solve(self, *, memory_bytes: float | None, time_limit_s: float, gap: float) -> Solved | None:
        """The cheapest choice with all of `held` within the memory; None if there is none.

        Raises TimeoutError if none was found in time.
        """
        memory = [] if memory_bytes is None else [(_scaled(row, memory_bytes), 0.0, 1.0) for row in self.held]
        found = self._milp(self.costs, [*self.rows, *memory], time_limit_s, gap)
        if found is None:
            return None
        values = np.split(found.x[: self.num_binaries], self.firsts[1:])
        chosen = tuple(int(np.argmax(one)) for one in values)
        return Solved(chosen, float(found.fun) * UNIT_S, float(found.mip_gap or 0.0))

    def least_bytes(self, *, time_limit_s: float) -> float:
        """The least memory in which all of `held` fit, whatever the time. Raises TimeoutError."""
        unit = max(sum(row.values()) for row in self.held)
        most = self.num_variables
        memory = [(_scaled(row, unit) | {most: -1.0}, -np.inf, 0.0) for row in self.held]
        found = self._milp([*[0.0] * most, 1.0], [*self.rows, *memory], time_limit_s, 1e-3)
        assert found is not None, "without a limit everything fits"
        return float(found.fun) * unit

    def _milp(self, costs: list[float], rows: Sequence[Bounded], time_limit_s: float, gap: float) -> Any:
        found = milp(
            np.array(costs),
            integrality=np.arange(len(costs)) < self.num_binaries,
            bounds=Bounds(0.0, 1.0),
            constraints=_constraints(rows, len(costs)),
            options={"time_limit": time_limit_s, "mip_rel_gap": gap},
        )
        if found.status == _INFEASIBLE:
            return None
        if found.x is None:
            raise TimeoutError(found.message)
        return found

    def _tie_break_s(self, node: Node, number: int) -> float:
        """Of plans that take equally long, the one that holds less."""
        layouts = zip(node.produced, node.strategies[number].produced, strict=True)
        held = sum(self.mesh.local_bytes(self.graph.tensors[tensor], layout) for tensor, layout in layouts)
        return TIE_BREAK * self.mesh.pass_s(flops=0.0, num_bytes=held)

    def _where(self, port: Port, layouts: list[tuple[Layout, ...]], layout: Layout) -> Row:
        first = self.firsts[port.node_class]
        return {first + number: 1.0 for number, one in enumerate(layouts) if one[port.index] == layout}

    def _variable(self, cost_s: float) -> int:
        self.costs.append(cost_s / UNIT_S)
        return len(self.costs) - 1

    def _add_link(self, link: Link) -> None:
        tensor = self.graph.tensors[link.tensor]
        made = dict.fromkeys(
            strategy.produced[link.source.index] for strategy in self.nodes[link.source.node_class].strategies
        )
        takers = {port: self._taken_layouts(port) for port in link.targets}
        wanted = dict.fromkeys(layout for layouts in takers.values() for layout in layouts)
        if link.is_output:
            wanted[self.mesh.whole] = None
        prices = {
            (have, want): total_s(reshard(tensor, have, want, self.mesh)) for have in made for want in wanted
        }
        if not any(prices.values()):
            return
        # What is paid: a copy in the wanted layout, shared by all that want it.
        shared = {pair: self._variable(price * link.count) for pair, price in prices.items() if price > 0.0}
        for port, layouts in takers.items():
            pairs = {(have, want): self._variable(0.0) for have in made for want in layouts}
            self.pairs[link.source, port] = pairs
            self._tie(pairs, made, link.source, layouts, port)
            for pair, variable in pairs.items():
                if pair in shared:
                    self.rows.append(({variable: 1.0, shared[pair]: -1.0}, -np.inf, 0.0))
        if link.is_output:
            for have in made:
                if (have, self.mesh.whole) in shared:
                    row = self.made(link.source, have) | {shared[have, self.mesh.whole]: -1.0}
                    self.rows.append((row, -np.inf, 0.0))

    def _taken_layouts(self, port: Port) -> tuple[Layout, ...]:
        strategies = self.nodes[port.node_class].strategies
        return tuple(dict.fromkeys(strategy.required[port.index] for strategy in strategies))

    def _tie(
        self,
        pairs: dict[tuple[Layout, Layout], int],
        made: Iterable[Layout],
        source: Port,
        taken: Iterable[Layout],
        target: Port,
    ) -> None:
        """Pairs sum to the binaries of either end."""
        for have in made:
            row = {variable: 1.0 for (one, _), variable in pairs.items() if one == have}
            self.rows.append((row | _negative(self.made(source, have)), 0.0, 0.0))
        for want in taken:
            row = {variable: 1.0 for (_, one), variable in pairs.items() if one == want}
            self.rows.append((row | _negative(self.taken(target, want)), 0.0, 0.0))


def _constraints(rows: Sequence[Bounded], num_variables: int) -> LinearConstraint:
    entries = [
        (index, column, value) for index, (row, _, _) in enumerate(rows) for column, value in row.items()
    ]
    indices, columns, values = zip(*entries, strict=True)
    matrix = csr_matrix((values, (indices, columns)), shape=(len(rows), num_variables))
    return LinearConstraint(matrix, [low for _, low, _ in rows], [high for _, _, high in rows])


def _scaled(row: Row, unit: float) -> Row:
    return {column: value / unit for column, value in row.items()}


def _negative(row: Row) -> Row:
    return {column: -value for column, value in row.items()}
