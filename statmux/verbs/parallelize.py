"""`statmux parallelize SOURCE`: how a model is best shared by the devices of a mesh, and what that costs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statmux.durations import seconds
from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from placement.costs.devices import DeviceType
    from placement.intra.mesh import DeviceMesh
    from vocabulary.layer_graph import LayerGraph, Layout

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_FUNCTION = re.compile(r"[\w.]+:\w+")


def _with(parse: Callable[[str], float]) -> Callable[[str], float]:
    def parsed(text: str) -> float:
        try:
            found = parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if not found > 0:
            raise typer.BadParameter(f"{text!r} is not above 0")
        return found

    return parsed


def _bandwidth(text: str) -> float:
    from vocabulary.units import parse_bandwidth

    return parse_bandwidth(text)


def _bytes(text: str) -> float:
    from vocabulary.units import parse_bytes

    return float(parse_bytes(text))


@app.command()
def parallelize(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION|SOURCE",
            help="A function that returns (apply, parameters, inputs); or a model source, like random://gpt2-base.",
            show_default=False,
        ),
    ],
    tensor: Annotated[int, typer.Option(min=2, help="Devices of a host that share the model.")] = 4,
    hosts: Annotated[int, typer.Option(min=1, help="Hosts that share it too: a second axis.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a batch, for every -1 of an input.")] = 1,
    sequence: Annotated[int, typer.Option(min=1, help="Tokens of a row, of a model source.")] = 128,
    device_type: Annotated[str, typer.Option(help="Where the speeds below come from.")] = "a100-80g",
    memory: Annotated[
        float | None,
        typer.Option(parser=_with(_bytes), metavar="BYTES", help="Of a device.", show_default=False),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            parser=_with(_bandwidth), metavar="BANDWIDTH", help="Between devices.", show_default=False
        ),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(parser=seconds, metavar="DURATION", help="Of a collective.", show_default=False),
    ] = None,
    flops: Annotated[
        float | None,
        typer.Option(
            parser=_with(float), metavar="NUMBER", help="A second, of a device.", show_default=False
        ),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="For each run of the solver.")
    ] = "60s",  # type: ignore[assignment]
    whole_ends: Annotated[
        bool, typer.Option("--whole-ends", help="Inputs and outputs lie on every device.")
    ] = False,
    no_scatter: Annotated[
        bool, typer.Option("--no-scatter", help="Sums are always whole: no reduce-scatter.")
    ] = False,
) -> None:
    """Choose a layout for every parameter and intermediate of a model: least estimated time, within memory.

    MODULE is a file MODULE.py in this folder, or installed; it is imported, so its code runs. The model's
    weights are not computed with. Times are estimated by the alpha-beta model and a roofline.
    """
    from placement.costs.devices import device_type as known_device
    from placement.intra.baselines import plan_by_hand, replicated_cost
    from placement.intra.nodes import Freedom
    from placement.intra.search import parallelize as search
    from statmux.parallelize_view import plan_document, plan_table

    console = Console(ctx.obj)
    device = known_device(device_type)
    graph, by_hand = _read(source, batch=batch, sequence=sequence, tensor=tensor)
    mesh = _mesh(device, graph, tensor, hosts, bandwidth=bandwidth, latency=latency, flops=flops)
    freedom = Freedom(ends_are_whole=whole_ends, scatters=not no_scatter)
    _warn_of_opaque(console, graph)
    limit_bytes = memory or device.memory_bytes
    plan = search(graph, mesh, memory_bytes=limit_bytes, freedom=freedom, time_limit_s=time_limit)
    others = {"replicated": replicated_cost(graph, mesh)}
    if by_hand and hosts == 1:
        others["by hand"] = plan_by_hand(graph, mesh, by_hand, freedom=freedom).cost
    console.result(plan_document(source, plan, others), lambda: plan_table(plan, others))


def _read(source: str, *, batch: int, sequence: int, tensor: int) -> tuple[LayerGraph, dict[str, Layout]]:
    """The graph, and the layouts that the model's family would give its parameters, if it has one."""
    # Only shapes are needed: no accelerator is waited for.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from workers.graphs.program import read_program
    from workers.graphs.reading import layer_graph

    if source.startswith("python://") or _FUNCTION.fullmatch(source):
        from workers.python_source import open_python_source, traced

        path = source if source.startswith("python://") else f"python://{source}"
        function = open_python_source(path, base_dir=Path.cwd(), is_allowed=True)
        inputs = dict(function.structs(batch))
        program = traced(function, lambda: read_program(function.apply, function.parameters, inputs))
        return layer_graph(program), {}
    from workers.graphs.families import family_function

    _check_folder(source)
    model = family_function(source, base_dir=Path.cwd())
    program = read_program(model.apply, model.parameters, model.inputs(batch, sequence))
    return layer_graph(program), dict(model.by_hand(tensor))


def _check_folder(source: str) -> None:
    """Raises InvalidInput for what is neither a function nor an address, nor a folder that is there."""
    try:
        is_there = "://" in source or Path(source).expanduser().is_dir()
    except OSError:
        is_there = False
    if not is_there:
        hint = f"write MODULE:FUNCTION, like {Path(source).stem or 'model'}:build, or random://gpt2-base"
        raise InvalidInput(f"{source!r} is neither a function, a folder nor an address", hint=hint)


def _mesh(
    device: DeviceType,
    graph: LayerGraph,
    tensor: int,
    hosts: int,
    *,
    bandwidth: float | None,
    latency: float | None,
    flops: float | None,
) -> DeviceMesh:
    """The axis of devices within a host last, as groups lie; one of hosts only if there are several."""
    from placement.intra.device_mesh import device_mesh

    mesh = device_mesh(device, graph, tensor=tensor, hosts=hosts)
    (*outer, inner) = mesh.axes
    inner = replace(
        inner,
        bandwidth_bytes_per_s=bandwidth or inner.bandwidth_bytes_per_s,
        latency_s=inner.latency_s if latency is None else latency,
    )
    return replace(mesh, axes=(*outer, inner), flops_per_s=flops or mesh.flops_per_s)


def _warn_of_opaque(console: Console, graph: LayerGraph) -> None:
    if graph.opaque_kinds:
        named = ", ".join(f"{kind} ({count})" for kind, count in graph.opaque_kinds.items())
        console.warn(f"nothing is known about {named}: every device computes them whole")
