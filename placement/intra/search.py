"""Chooses a layout for every tensor of a layer graph, as Alpa does (OSDI 2022, section 4)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from placement.intra.integer_program import IntegerProgram, Solved
from placement.intra.links import links_of
from placement.intra.liveness import Lifetimes, lifetimes
from placement.intra.memory_rows import memory_row
from placement.intra.mesh import DeviceMesh
from placement.intra.nodes import Freedom, Node, nodes_of
from placement.intra.plan import Choice, Cost, Exchange, cost_of, exchanges, held_bytes, pick, wanted_layouts
from placement.intra.repeats import Classes, classes_of
from vocabulary.errors import Infeasible, TimedOut
from vocabulary.layer_graph import LayerGraph, Layout
from vocabulary.units import format_bytes

# Far finer than the costs are true: so that of equal plans the one that holds less is found.
GAP = 1e-6
TIME_LIMIT_S = 60.0
# Each round of memory adds the fullest operator of the last answer; plans need one or two.
MAX_ROUNDS = 50
FREE = Freedom()


@dataclass(frozen=True, slots=True)
class Effort:
    """How large the problem was and what solving it took. `gap`: relative, from the solver."""

    num_operators: int
    num_nodes: int
    num_classes: int
    num_variables: int
    num_binaries: int
    num_rounds: int
    gap: float
    seconds: float


@dataclass(frozen=True, slots=True)
class IntraPlan:
    """`layouts` of every tensor that is not a constant; `wanted`: (operator, operand) that need another."""

    graph: LayerGraph
    mesh: DeviceMesh
    choice: Choice
    classes: Classes
    layouts: Mapping[int, Layout]
    wanted: Mapping[tuple[int, int], Layout]
    exchanges: tuple[Exchange, ...]
    cost: Cost
    effort: Effort
    ends_are_whole: bool = False


def parallelize(
    graph: LayerGraph,
    mesh: DeviceMesh,
    *,
    memory_bytes: float | None = None,
    freedom: Freedom = FREE,
    ties_repeats: bool = True,
    time_limit_s: float = TIME_LIMIT_S,
    gap: float = GAP,
) -> IntraPlan:
    """The plan with the least estimated time that keeps every device within `memory_bytes`.

    Equal layers get equal plans (`ties_repeats`). Raises Infeasible if nothing fits the memory, TimedOut if
    the solver has no answer within `time_limit_s`.
    """
    start_s = time.perf_counter()
    nodes = nodes_of(graph, mesh, freedom)
    classes = classes_of(nodes, graph, ties_repeats=ties_repeats)
    program = _program(nodes, classes, graph, mesh, freedom)
    alive = lifetimes(nodes, graph)
    rounds = 0
    while True:
        rounds += 1
        solved = _solve(program, memory_bytes, time_limit_s, gap)
        if solved is None:
            raise _too_large(program, graph, memory_bytes, time_limit_s)
        choice = pick(nodes, [solved.chosen[one] for one in classes.of])
        fullest = _overfull(choice, graph, mesh, alive, memory_bytes)
        if fullest is None:
            break
        assert rounds <= MAX_ROUNDS, rounds
        program.held.append(memory_row(fullest, program, nodes, classes, alive))
    cost = cost_of(choice, graph, mesh, freedom, alive)
    # The solver's number holds the tie-break too, and is no lower than the truth where it ran out of time.
    assert cost.total_s <= solved.objective * (1 + 1e-4) + 1e-9, (cost, solved.objective)
    effort = Effort(
        num_operators=len(graph.operators),
        num_nodes=len(nodes),
        num_classes=len(classes.members),
        num_variables=program.num_variables,
        num_binaries=program.num_binaries,
        num_rounds=rounds,
        gap=solved.gap,
        seconds=time.perf_counter() - start_s,
    )
    return IntraPlan(
        graph=graph,
        mesh=mesh,
        choice=choice,
        classes=classes,
        layouts=choice.layouts(),
        wanted=wanted_layouts(choice, graph, mesh),
        exchanges=exchanges(choice, graph, mesh, freedom),
        cost=cost,
        effort=effort,
        ends_are_whole=freedom.ends_are_whole,
    )


def _program(
    nodes: tuple[Node, ...], classes: Classes, graph: LayerGraph, mesh: DeviceMesh, freedom: Freedom
) -> IntegerProgram:
    program = IntegerProgram(
        [nodes[members[0]] for members in classes.members], list(map(len, classes.members)), graph, mesh
    )
    program.add_links(links_of(nodes, classes, graph, freedom))
    return program


def _solve(
    program: IntegerProgram, memory_bytes: float | None, time_limit_s: float, gap: float
) -> Solved | None:
    try:
        return program.solve(memory_bytes=memory_bytes, time_limit_s=time_limit_s, gap=gap)
    except TimeoutError as error:
        raise TimedOut(
            f"the solver has no plan after {time_limit_s:g} s for {program.num_variables} variables",
            hint="give it more time, or fewer mesh axes",
        ) from error


def _overfull(
    choice: Choice, graph: LayerGraph, mesh: DeviceMesh, alive: Lifetimes, memory_bytes: float | None
) -> int | None:
    """The operator at which most is held, if that is more than there is."""
    if memory_bytes is None or not graph.operators:
        return None
    held = held_bytes(choice, graph, mesh, alive)
    fullest = int(np.argmax(held))
    return fullest if held[fullest] > memory_bytes * (1 + 1e-9) else None


def _too_large(
    program: IntegerProgram, graph: LayerGraph, memory_bytes: float | None, time_limit_s: float
) -> Infeasible:
    assert memory_bytes is not None
    least = program.least_bytes(time_limit_s=time_limit_s)
    devices = math.prod(axis.size for axis in program.mesh.axes)
    return Infeasible(
        f"no plan fits {format_bytes(memory_bytes)} a device: the best takes at least {format_bytes(least)}, "
        f"of {format_bytes(graph.parameter_bytes)} of parameters on {devices} devices",
        hint="use more devices, more memory, or a smaller batch",
    )
