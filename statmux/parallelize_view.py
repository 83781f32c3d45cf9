"""How `statmux parallelize` shows a plan: for programs, every tensor; for people, equal layers once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from statmux.render import table
from vocabulary.units import format_bytes

if TYPE_CHECKING:
    from placement.intra.plan import Cost
    from placement.intra.search import IntraPlan
    from vocabulary.layer_graph import LayerGraph, Layout

Spec = list[list[str]]


def plan_document(source: str, plan: IntraPlan, others: Mapping[str, Cost]) -> dict[str, Any]:
    """All costs, and a spec for every parameter, input and result of an operator that chooses.

    A spec names, for every dimension, the axes that cut it. `others` are costs to compare with.
    """
    effort = plan.effort
    return {
        "source": source,
        "estimated": True,
        "mesh": [{"axis": axis.name, "size": axis.size} for axis in plan.mesh.axes],
        "costs": {name: _cost(cost) for name, cost in {"plan": plan.cost, **others}.items()},
        "gap": effort.gap,
        "seconds": effort.seconds,
        "num_operators": effort.num_operators,
        "num_nodes": effort.num_nodes,
        "num_classes": effort.num_classes,
        "num_variables": effort.num_variables,
        "num_binaries": effort.num_binaries,
        "opaque": dict(plan.graph.opaque_kinds),
        "parameters": [_tensor(plan, number) for number in plan.graph.parameters],
        "inputs": [_tensor(plan, number) for number in plan.graph.inputs],
        "outputs": [_tensor(plan, number) for number in plan.graph.outputs],
        "operators": list(_operators(plan)),
        "collectives": [
            {
                "kind": one.collective.kind,
                "axis": one.collective.axis,
                "tensor": one.tensor,
                "num_bytes": one.collective.num_bytes,
                "seconds": one.collective.seconds,
                "is_resharding": one.is_resharding,
            }
            for one in plan.exchanges
        ],
    }


def plan_table(plan: IntraPlan, others: Mapping[str, Cost]) -> str:
    """Costs, parameters, operators."""
    effort = plan.effort
    return "\n\n".join(
        [
            table(("parameter", "shape", "layout", "a device", "times"), list(_parameter_rows(plan)), left=3),
            table(("operator", "result", "layout", "exchanges", "times"), list(_operator_rows(plan)), left=4),
            table(
                ("estimated", "time", "compute", "sums", "resharding", "parameters", "peak memory"),
                [_cost_row(name, cost) for name, cost in {"plan": plan.cost, **others}.items()],
            ),
            f"{effort.num_operators} operators as {effort.num_classes} different choices, "
            f"{effort.num_variables} variables: planned in {effort.seconds:.2f} s, "
            f"at most {effort.gap:.2%} above the best",
        ]
    )


def _cost(cost: Cost) -> dict[str, float]:
    return {
        "total_s": cost.total_s,
        "compute_s": cost.compute_s,
        "communication_s": cost.communication_s,
        "resharding_s": cost.resharding_s,
        "parameter_bytes": cost.parameter_bytes,
        "peak_bytes": cost.peak_bytes,
    }


def _tensor(plan: IntraPlan, number: int) -> dict[str, Any]:
    tensor = plan.graph.tensors[number]
    layout = plan.layouts.get(number, plan.mesh.whole)
    return {
        "tensor": number,
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "spec": _spec(plan, number, layout),
        "bytes_per_device": plan.mesh.local_bytes(tensor, layout),
    }


def _operators(plan: IntraPlan) -> Iterator[dict[str, Any]]:
    for node in plan.choice.nodes:
        if node.members:
            first = plan.graph.operators[node.members[0]]
            followers = [plan.graph.operators[index].kind for index in node.members[1:]]
            yield {"kind": first.kind, "followers": followers, **_tensor(plan, first.results[0])}


def _spec(plan: IntraPlan, number: int, layout: Layout) -> Spec:
    from vocabulary.layer_graph import sharding_of

    dims = sharding_of(layout, plan.graph.tensors[number], plan.mesh.named_sizes).dims
    return [list(dim) for dim in dims]


def _parameter_rows(plan: IntraPlan) -> Iterator[tuple[str, str, str, str, str]]:
    parameters = set(plan.graph.parameters)
    for members in plan.classes.members:
        number = plan.choice.nodes[members[0]].produced[0]
        if number in parameters:
            tensor = plan.graph.tensors[number]
            num_bytes = plan.mesh.local_bytes(tensor, plan.layouts[number])
            yield (
                tensor.name,
                _shape(plan.graph, number),
                _layout(plan, number),
                format_bytes(num_bytes),
                f"x{len(members)}",
            )


def _operator_rows(plan: IntraPlan) -> Iterator[tuple[str, str, str, str, str]]:
    for members in plan.classes.members:
        node, strategy = plan.choice.nodes[members[0]], plan.choice.strategies[members[0]]
        if not node.members or node.produced[0] in (*plan.graph.parameters, *plan.graph.inputs):
            continue
        moves = [one.collective.kind for one in plan.exchanges if one.tensor in node.produced]
        operator = plan.graph.operators[node.members[0]]
        number = operator.results[0]
        assert len(strategy.produced) == len(node.produced), node
        exchanges = ", ".join(dict.fromkeys(moves))
        yield (
            operator.kind,
            _shape(plan.graph, number),
            _layout(plan, number),
            exchanges,
            f"x{len(members)}",
        )


def _shape(graph: LayerGraph, number: int) -> str:
    return ",".join(map(str, graph.tensors[number].shape))


def _layout(plan: IntraPlan, number: int) -> str:
    spec = _spec(plan, number, plan.layouts[number])
    return f"({', '.join('+'.join(axes) or '-' for axes in spec)})"


def _cost_row(name: str, cost: Cost) -> tuple[str, ...]:
    times = (cost.total_s, cost.compute_s, cost.communication_s, cost.resharding_s)
    return name, *map(_spoken, times), format_bytes(cost.parameter_bytes), format_bytes(cost.peak_bytes)


def _spoken(seconds: float) -> str:
    return f"{1e6 * seconds:.1f} us" if seconds < 1e-3 else f"{1e3 * seconds:.2f} ms"
