"""`statmux serve FILE --plan PLAN`: start a fleet and serve it until told to stop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import seconds
from statmux.example_steps import ExampleFolder
from statmux.examples import Example, calls_of, write_calls
from statmux.render import Console, table
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from controller.life.lifecycle import Ready
    from vocabulary.deployment import Deployment
    from vocabulary.plan import Plan
    from vocabulary.serve_flags import ServeFlags

app = typer.Typer(add_completion=False, rich_markup_mode=None)
EMULATED_WORDS = "emulated: stages sleep for their profiled latency, models answer with their input"


class Engine(StrEnum):
    JAX = "jax"
    EMULATED = "emulated"


def _port(*names: str, text: str) -> Any:
    return typer.Option(*names, min=0, max=65535, show_default=False, help=text)


GrpcPort = Annotated[
    int | None,
    _port("--port", "--grpc-port", text="Instead of the deployment's (8001); 0: any that is free."),
]
HttpPort = Annotated[int | None, _port("--http-port", text="The same for HTTP and the live page (8000).")]
MetricsPort = Annotated[int | None, _port("--metrics-port", text="The same for metrics (8002).")]


@app.command()
def serve(
    ctx: typer.Context,
    deployment: Annotated[
        Path | None, typer.Argument(help="The deployment file.", show_default=False)
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="The plan to serve; else one is searched for the models' `workload`."),
    ] = None,
    example: Annotated[
        Example | None,
        typer.Option(help="Serve an example from a folder of its name, made here.", show_default=False),
    ] = None,
    engine: Annotated[
        Engine | None,
        typer.Option(help="For all models: compute, or sleep for the profiled latency.", show_default=False),
    ] = None,
    grpc_port: GrpcPort = None,
    http_port: HttpPort = None,
    metrics_port: MetricsPort = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve beyond this machine without tokens or TLS.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            parser=seconds, metavar="DURATION", help="For the Ray that is joined and its nodes, at most."
        ),
    ] = "0s",  # type: ignore[assignment]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")] = False,
) -> None:
    """Start a fleet on Ray and serve it over gRPC and HTTP until SIGTERM, Ctrl-C or `statmux stop`."""
    from controller.life.fleet_specs import worker_specs
    from controller.security.guard import open_guard
    from vocabulary.exposure import check_exposure
    from vocabulary.fit import check_fit
    from vocabulary.formats.disk import load_deployment, load_plan
    from vocabulary.serve_flags import ServeFlags

    console = Console(ctx.obj)
    deployment = _file(console, deployment, example, ctx.obj.overrides)
    flags = ServeFlags(engine.value if engine else None, grpc_port, http_port, metrics_port)
    read = flags.applied_to(load_deployment(deployment, overrides=ctx.obj.overrides))
    check_exposure(read, insecure=insecure)
    chosen = _left_or_searched(console, read) if plan is None else load_plan(plan, deployment=read)
    check_fit(chosen.placement, read)
    # Their refusals are for now, not for when Ray is up.
    worker_specs(read, chosen.placement, key="")
    open_guard(read.security, folder=read.folder, environment=os.environ)
    for warning in read.warnings:
        console.warn(warning)
    if dry_run:
        console.say(f"{deployment} can be served with {plan or 'a plan searched now'}")
        return
    if wait:
        _await_hosts(console, read, timeout_s=wait)
    _run(console, read, chosen, flags, example)


def _file(
    console: Console, deployment: Path | None, example: Example | None, overrides: Sequence[str]
) -> Path:
    if deployment is not None and example is not None:
        raise InvalidInput(
            f"{deployment} and the example {example} cannot both be served",
            where="--example",
            hint="leave one of them out",
        )
    if example is not None:
        return ExampleFolder(example, overrides=overrides, say=console.say).to_serve()
    if deployment is None:
        raise InvalidInput(
            "there is no deployment to serve",
            hint="statmux serve deployment.yaml, or `statmux serve --example tiny` to try it",
        )
    return deployment


def _await_hosts(console: Console, deployment: Deployment, *, timeout_s: float) -> None:
    """Not where groups of before may run: they are worth serving without the hosts that are missing."""
    from controller.life.fleet_journal import plan_left
    from controller.on_ray.awaiting import await_hosts

    if plan_left(deployment) is None:
        await_hosts(deployment, timeout_s=timeout_s, progress=console.say)


def _left_or_searched(console: Console, deployment: Deployment) -> Plan:
    """What a controller that was killed has left running, else as `statmux plan` without a trace does it."""
    from controller.life.fleet_journal import plan_left
    from placement.search import place
    from simulator.traffic.workload import expected_trace

    left = plan_left(deployment)
    if left is not None:
        console.say("going on with the plan that was served when the controller died")
        return left
    with console.progress("searching a placement"):
        return place(deployment, expected_trace(deployment))


def _run(
    console: Console, deployment: Deployment, plan: Plan, flags: ServeFlags, example: Example | None
) -> None:
    import uvloop

    from controller.life.lifecycle import Fleet
    from controller.logs import set_up_logs

    set_up_logs(log_format=deployment.log_format, level=deployment.log_level)

    async def main() -> None:
        fleet = Fleet(deployment, plan, progress=console.say, flags=flags)
        await fleet.run(lambda ready: _show_ready(console, deployment, plan, ready, example))

    uvloop.run(main())


def _show_ready(
    console: Console, deployment: Deployment, plan: Plan, ready: Ready, example: Example | None
) -> None:
    document = _document(deployment, plan, ready)
    if example is not None and ready.http_address:
        write_calls(example, http=ready.http_address, grpc=ready.grpc_address)
    security = deployment.security
    shown = ", token=..." if security.asks_for_tokens else ""
    shown += ", ca=..." if security.tls is not None else ""
    shown += ", cert=..., key=..." if security.asks_for_certificates else ""
    console.result(document, lambda: _table(document, shown, example))
    console.say("Ctrl-C, SIGTERM or `statmux stop` drains and stops the fleet")


def _document(deployment: Deployment, plan: Plan, ready: Ready) -> dict[str, Any]:
    placement = plan.placement
    scheme = "http" if deployment.security.tls is None else "https"
    return {
        "fleet": deployment.name,
        "grpc": ready.grpc_address,
        **({"http": f"{scheme}://{ready.http_address}"} if ready.http_address else {}),
        "metrics": f"{scheme}://{ready.metrics_address}/metrics",
        "seconds": round(ready.seconds, 2),
        "emulated": any(model.engine == "emulated" for model in deployment.models),
        "models": {
            model.name: {
                "engine": model.engine,
                "groups": [placement.groups[index].id for index in placement.holders(model.name)],
            }
            for model in deployment.models
        },
    }


def _emulated_words(document: dict[str, Any]) -> str:
    """Which models are emulated, unless all are."""
    emulated = [name for name, one in document["models"].items() if one["engine"] == "emulated"]
    return (
        EMULATED_WORDS
        if len(emulated) == len(document["models"])
        else f"{', '.join(emulated)} {EMULATED_WORDS}"
    )


def _table(document: dict[str, Any], shown: str, example: Example | None) -> str:
    """shown: what a client says besides the address."""
    rows = [[name, ", ".join(one["groups"]) or "not placed"] for name, one in document["models"].items()]
    tried = f"print(Client('{document['grpc']}'{shown}).models())"
    lines = [
        f"{document['fleet']} is ready after {document['seconds']} s",
        *([_emulated_words(document)] if document["emulated"] else []),
        f"gRPC     {document['grpc']}",
        *([f"HTTP     {document['http']}/v1"] if "http" in document else []),
        f"metrics  {document['metrics']}",
        "",
        table(["model", "groups"], rows, left=2),
        "",
        f'python -c "from statmux.client import Client; {tried}"'
        if example is None or "http" not in document
        else calls_of(example, http=document["http"].split("//")[1], grpc=document["grpc"]),
    ]
    return "\n".join(lines)
