"""`statmux bench FILE --trace T`: an open-loop client against a running fleet, beside the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console, milliseconds, percent, table
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from statmux.replay import Replayed
    from vocabulary.deployment import Deployment
    from vocabulary.outcomes import Outcomes
    from vocabulary.placement import Placement
    from vocabulary.trace import Trace

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class _Job:
    """One fleet, one trace, one placement to simulate."""

    deployment: Deployment
    placement: Placement
    trace: Trace
    address: str
    inputs: Mapping[str, Mapping[str, object]]
    timeout_s: float


@app.command()
def bench(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment that runs.", show_default=False)],
    plan: Annotated[Path, typer.Option(help="The plan that runs, to simulate beside.", show_default=False)],
    trace: Annotated[Path | None, typer.Option(help="What to replay.", show_default=False)] = None,
    url: Annotated[
        str | None, typer.Option(help="host:port of the endpoint; the deployment's when left out.")
    ] = None,
    slo_scale: Annotated[
        str | None, typer.Option(help="Multiply all SLOs, sent with each request: 1 or 0.5,1,2.")
    ] = None,
    rate_scale: Annotated[float, typer.Option(help="Replay so many times faster.", min=1e-6)] = 1.0,
    sequence_length: Annotated[int, typer.Option(help="Tokens of a generated input.", min=1)] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds that a request waits.")] = 60.0,
    calibrate: Annotated[
        int, typer.Option(help="Measure the fixed overhead with N lone requests instead.", min=0)
    ] = 0,
    record: Annotated[
        Path | None, typer.Option(help="Folder for the run record, for `statmux report`.", show_default=False)
    ] = None,
) -> None:
    """Replay a trace against a running fleet at its own times; simulate the same; print both."""
    from vocabulary.formats.disk import load_deployment, load_plan

    console = Console(ctx.obj)
    read = load_deployment(deployment, overrides=ctx.obj.overrides)
    placement = load_plan(plan, deployment=read).placement
    address = url or f"{read.grpc.host}:{read.grpc.port}"
    inputs = _inputs(read, address, sequence_length)
    if calibrate:
        _calibrate(console, read, placement, address, inputs, calibrate)
        return
    if trace is None:
        raise InvalidInput("there is no trace to replay", hint="give --trace FILE, or --calibrate N")
    job = _Job(read, placement, _trace(trace, read, rate_scale), address, inputs, timeout)
    scales = [None] if slo_scale is None else [_scale(word) for word in slo_scale.split(",")]
    if record is not None and len(scales) > 1:
        raise InvalidInput("--record holds one run", hint="give one --slo-scale with it")
    runs = [_run(console, job, scale, record) for scale in scales]
    document = runs[0] if slo_scale is None or len(runs) == 1 else _sweep(runs)
    console.result(document, lambda: _sweep_table(document) if "runs" in document else _table(document))


def _inputs(deployment: Deployment, address: str, sequence_length: int) -> Mapping[str, Mapping[str, object]]:
    """A sample for every model that the endpoint knows."""
    from statmux.client import Client
    from statmux.samples import sample_inputs

    with Client(address) as client:
        described = {name: client.model_metadata(name) for name in deployment.model_names}
    return {
        name: sample_inputs(one.inputs, sequence_length=sequence_length) for name, one in described.items()
    }


def _trace(path: Path, deployment: Deployment, rate_scale: float) -> Trace:
    from vocabulary.formats.disk import load_trace

    read = load_trace(path, models=deployment.model_names).aligned_to(deployment.model_names)
    return replace(read, arrival_s=read.arrival_s / rate_scale)


def _scale(word: str) -> float:
    try:
        scale = float(word)
    except ValueError:
        scale = 0.0
    if scale <= 0:
        raise InvalidInput(f"--slo-scale: {word!r} is not a positive number", hint="write 1 or 0.5,1,2")
    return scale


def _run(console: Console, job: _Job, scale: float | None, record: Path | None) -> dict[str, Any]:
    replayed = _replay(console, job, scale)
    scaled = _scaled(job.deployment, scale)
    simulated = _simulate(scaled, job)
    document = _document(scaled, job, replayed, simulated, scale)
    if record is not None:
        _write(record, document, scaled, job, replayed.outcomes, simulated)
        console.say(f"recorded in {record}; `statmux report {record}` draws it")
    return document


def _replay(console: Console, job: _Job, scale: float | None) -> Replayed:
    import asyncio

    from statmux.replay import Load, replay

    slo_s = {model.name: model.slo.latency_s for model in job.deployment.models}
    load = Load(job.trace, job.inputs, slo_s, job.timeout_s, scale)
    label = "replaying" if scale is None else f"replaying at SLO scale {scale:g}"
    groups = [group.id for group in job.placement.groups]
    with console.progress(label, total=len(job.trace)) as progress:
        return asyncio.run(
            replay(job.address, load, groups=groups, progress=lambda done, _: progress.step(done))
        )


def _scaled(deployment: Deployment, scale: float | None) -> Deployment:
    if scale is None:
        return deployment
    models = tuple(
        model
        if model.slo.latency_s is None
        else replace(model, slo=replace(model.slo, latency_s=model.slo.latency_s * scale))
        for model in deployment.models
    )
    return replace(deployment, models=models)


def _simulate(deployment: Deployment, job: _Job) -> Outcomes:
    from simulator.simulate import simulate

    return simulate(job.placement, job.trace, deployment=deployment)


def _document(
    deployment: Deployment, job: _Job, replayed: Replayed, simulated: Outcomes, scale: float | None
) -> dict[str, Any]:
    from statmux.summary import summary

    measured, expected = summary(replayed.outcomes), summary(simulated)
    return {
        "fleet": deployment.name,
        "address": job.address,
        "emulated": any(model.engine == "emulated" for model in deployment.models),
        "slo_scale": scale,
        "slo_attainment": measured["slo_attainment"],
        "slo_attainment_simulated": expected["slo_attainment"],
        "difference_points": 100 * (expected["slo_attainment"] - measured["slo_attainment"]),
        "fixed_overhead_s": deployment.latency.fixed_overhead_s,
        "duration_s": replayed.duration_s,
        "max_client_lag_s": replayed.max_lag_s,
        "measured": measured,
        "simulated": expected,
        "slo_s": {model.name: model.slo.latency_s for model in deployment.models},
        "errors": dict(replayed.errors),
    }


def _write(
    folder: Path,
    document: dict[str, Any],
    deployment: Deployment,
    job: _Job,
    measured: Outcomes,
    simulated: Outcomes,
) -> None:
    from statmux.reporting.record import MEASURED_FILE, SIMULATED_FILE, write_run
    from vocabulary.formats.disk import write_outcomes

    groups = [
        {
            "id": group.id,
            "devices": group.devices,
            "tensor": group.config.tensor,
            "pipeline": group.config.pipeline,
            "models": group.models,
        }
        for group in job.placement.groups
    ]
    models = {
        model.name: {
            "slo_s": model.slo.latency_s,
            "provenance": model.profile.provenance.kind if model.profile else None,
        }
        for model in deployment.models
    }
    run = {
        **document,
        "plan": {"groups": groups},
        "models": models,
        "assumptions": _assumptions(document, deployment),
    }
    write_run(folder, run)
    write_outcomes(folder / MEASURED_FILE, measured, placement=job.placement)
    write_outcomes(folder / SIMULATED_FILE, simulated, placement=job.placement)


def _assumptions(document: dict[str, Any], deployment: Deployment) -> list[str]:
    policy = deployment.policy
    kinds = sorted({model.profile.provenance.kind for model in deployment.models if model.profile})
    lines = [
        f"router {policy.router}, queue {policy.queue}, admission {policy.admission}, batching {policy.batching}",
        f"profiles: {', '.join(kinds)}; fixed overhead in the simulation: {document['fixed_overhead_s'] * 1e3:g} ms",
        "latency counts from when a request was due, so a late client makes it longer; "
        f"this client was at most {document['max_client_lag_s'] * 1e3:.1f} ms late",
        "attainment counts every request: refused, unplaced and failed ones are missed",
    ]
    if document["emulated"]:
        lines.insert(0, "emulated: stages slept for their profiled latency instead of computing")
    return lines


def _table(document: dict[str, Any]) -> str:
    rows = [
        [
            name, one["num_requests"], one["rate_rps"], milliseconds(document["slo_s"][name]),
            percent(document["simulated"]["models"][name]["slo_attainment"]), percent(one["slo_attainment"]),
            milliseconds(one["p50_s"]), milliseconds(one["p99_s"]),
        ]
        for name, one in document["measured"]["models"].items()
    ]  # fmt: skip
    return "\n".join([
        table(["model", "requests", "rate/s", "SLO", "simulated", "measured", "p50", "p99"], rows),
        "",
        f"{'emulated ' if document['emulated'] else ''}attainment {document['slo_attainment']:.2%}, "
        f"simulated {document['slo_attainment_simulated']:.2%} "
        f"({document['difference_points']:+.2f} points), "
        f"client at most {document['max_client_lag_s'] * 1e3:.1f} ms late",
        *[f"error x{number}: {message}" for message, number in document["errors"].items()],
    ])  # fmt: skip


def _sweep(runs: list[dict[str, Any]]) -> dict[str, Any]:
    differences = [abs(run["difference_points"]) for run in runs]
    return {
        "fleet": runs[0]["fleet"],
        "emulated": runs[0]["emulated"],
        "mean_absolute_difference_points": sum(differences) / len(differences),
        "max_absolute_difference_points": max(differences),
        "runs": runs,
    }


def _sweep_table(document: dict[str, Any]) -> str:
    rows = [
        [
            f"{run['slo_scale']:g}", run["measured"]["num_requests"], percent(run["slo_attainment_simulated"]),
            percent(run["slo_attainment"]), f"{run['difference_points']:+.2f}",
        ]
        for run in document["runs"]
    ]  # fmt: skip
    return "\n".join([
        table(["SLO scale", "requests", "simulated", "measured", "points"], rows),
        "",
        f"{'emulated: ' if document['emulated'] else ''}mean absolute difference "
        f"{document['mean_absolute_difference_points']:.2f} points, largest "
        f"{document['max_absolute_difference_points']:.2f}",
    ])  # fmt: skip


def _calibrate(
    console: Console,
    deployment: Deployment,
    placement: Placement,
    address: str,
    inputs: Mapping[str, Mapping[str, object]],
    num_requests: int,
) -> None:
    import asyncio
    from dataclasses import asdict

    from statmux.calibrate import calibrate

    found = asyncio.run(
        calibrate(
            address, inputs, placement=placement, catalog=deployment.catalog(), num_requests=num_requests
        )
    )
    console.result(
        asdict(found),
        lambda: (
            f"fixed overhead {found.fixed_overhead_s * 1e3:.3f} ms (quartiles "
            f"{found.lower_quartile_s * 1e3:.3f} to {found.upper_quartile_s * 1e3:.3f}, {found.num_requests} requests)\n"
            f"use it: --set simulation.fixed_overhead_s={found.fixed_overhead_s:.6f}"
        ),
    )
