"""`statmux bench FILE --trace T`: an open-loop client against a running fleet, beside the simulator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console, milliseconds, percent, table
from vocabulary.errors import InvalidInput, Unreachable

if TYPE_CHECKING:
    from statmux.benching import Job
    from statmux.client import ModelMetadata
    from statmux.client.channels import Tls
    from vocabulary.deployment import Deployment
    from vocabulary.placement import Placement
    from vocabulary.trace import Trace

app = typer.Typer(add_completion=False, rich_markup_mode=None)


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
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long a request waits.")
    ] = "60s",  # type: ignore[assignment]
    calibrate: Annotated[
        int, typer.Option(help="Measure the fixed overhead with N lone requests instead.", min=0)
    ] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="Speak TLS.")] = False,
    ca: Annotated[
        Path | None,
        typer.Option(help="Who signed the endpoint's certificate.", envvar="STATMUX_CA", show_default=False),
    ] = None,
    cert: Annotated[
        Path | None, typer.Option(help="Our certificate.", envvar="STATMUX_CERT", show_default=False)
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="Its private key.", envvar="STATMUX_KEY", show_default=False)
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Folder for the run record, for `statmux report`.", show_default=False)
    ] = None,
) -> None:
    """Replay a trace against a running fleet at its own times; simulate the same; print both.

    A fleet that asks for a token is shown that of the variable STATMUX_TOKEN.
    """
    from statmux.benching import Job, run_once
    from statmux.client.channels import tls_of
    from statmux.samples import sample_inputs
    from vocabulary.formats.disk import load_deployment, load_plan
    from vocabulary.tensors import EMULATED_PLATFORM

    console = Console(ctx.obj)
    read = load_deployment(deployment, overrides=ctx.obj.overrides)
    served = load_plan(plan, deployment=read)
    address = url or f"{read.grpc.host}:{read.grpc.port}"
    token = os.environ.get("STATMUX_TOKEN")
    secured = tls_of(tls, ca, cert, key)
    described = _described(read, address, token, secured)
    inputs = {
        name: sample_inputs(one.inputs, sequence_length=sequence_length)
        for name, one in described.items()
        if not read.model(name).generates
    }
    # The fleet's word, not the file's: `serve --engine` may have overridden it.
    is_emulated = any(one.platform == EMULATED_PLATFORM for one in described.values())
    if calibrate:
        _calibrate(console, read, served.placement, address, inputs, calibrate, is_emulated, token, secured)
        return
    if trace is None:
        raise InvalidInput("there is no trace to replay", hint="give --trace FILE, or --calibrate N")
    replayed = _trace(trace, read, rate_scale)
    job = Job(read, served, replayed, address, inputs, is_emulated, timeout, token, secured)
    _check_tokens(job)
    runs = [run_once(console, job, scale, record) for scale in _scales(slo_scale, record)]
    document = runs[0] if slo_scale is None or len(runs) == 1 else _sweep(runs)
    console.result(document, lambda: _sweep_table(document) if "runs" in document else _table(document))


def _described(
    deployment: Deployment, address: str, token: str | None, tls: Tls | None
) -> Mapping[str, ModelMetadata]:
    """What the endpoint says of every model of the deployment."""
    from statmux.client import Client, Unavailable

    try:
        with Client(address, token=token, **({} if tls is None else asdict(tls) | {"tls": True})) as client:
            return {name: client.model_metadata(name) for name in deployment.model_names}
    except Unavailable as error:
        raise Unreachable(
            f"no fleet answers at {address} ({error.message})",
            hint="start it with `statmux serve`, or give its --url",
        ) from None


def _trace(path: Path, deployment: Deployment, rate_scale: float) -> Trace:
    from statmux.scaling import sped_up
    from vocabulary.formats.disk import load_traffic

    return sped_up(load_traffic(path, deployment), rate_scale)


def _check_tokens(job: Job) -> None:
    """A model that generates has no other way to answer."""
    trace, silent = job.trace, []
    for index, name in enumerate(trace.models):
        mine = trace.model_index == index
        if mine.any() and job.deployment.model(name).generates:
            is_asked = trace.tokens is not None and bool((trace.tokens.output_tokens[mine] > 0).all())
            silent += [] if is_asked else [name]
    if silent:
        raise InvalidInput(
            f"requests for {silent[0]}, which generates, do not say for how many tokens",
            hint="give the trace input_tokens and output_tokens; `trace gen --process chat` draws both",
        )


def _scales(words: str | None, record: Path | None) -> list[float | None]:
    scales = [None] if words is None else [_scale(word) for word in words.split(",")]
    if record is not None and len(scales) > 1:
        raise InvalidInput("--record holds one run", hint="give one --slo-scale with it")
    return scales


def _scale(word: str) -> float:
    try:
        scale = float(word)
    except ValueError:
        scale = 0.0
    if scale <= 0:
        raise InvalidInput(f"--slo-scale: {word!r} is not a positive number", hint="write 1 or 0.5,1,2")
    return scale


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
        *_token_lines(document),
        "",
        f"{'emulated ' if document['emulated'] else ''}attainment {document['slo_attainment']:.2%}, "
        f"simulated {document['slo_attainment_simulated']:.2%} "
        f"({document['difference_points']:+.2f} points), "
        f"client at most {document['max_client_lag_s'] * 1e3:.1f} ms late",
        *_overhead_lines(document["observed_overhead"]),
        *[f"error x{number}: {message}" for message, number in document["errors"].items()],
    ])  # fmt: skip


def _token_lines(document: dict[str, Any]) -> list[str]:
    """Of models that generate: objectives of tokens kept, and their p99, simulated and measured."""
    rows = []
    for name, measured in document["measured"]["models"].items():
        simulated = document["simulated"]["models"][name]
        if not measured.get("num_output_tokens"):
            continue
        for word in ("ttft", "tpot"):
            told, seen = simulated[word], measured[word]
            rows.append([
                name, word.upper(), percent(told["slo_attainment"]), percent(seen["slo_attainment"]),
                milliseconds(told["p99_s"]), milliseconds(seen["p99_s"]),
            ])  # fmt: skip
    if not rows:
        return []
    return ["", table(["model", "tokens", "simulated", "measured", "simulated p99", "p99"], rows, left=2)]


def _overhead_lines(found: dict[str, Any] | None) -> list[str]:
    """Nothing where the fleet does not say how long requests queued and ran."""
    if found is None:
        return []
    seconds = [found[f"{name}_s"] * 1e3 for name in ("fixed_overhead", "lower_quartile", "upper_quartile")]
    return ["beyond queue and stages {:.2f} ms (quartiles {:.2f} to {:.2f})".format(*seconds)]


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
            f"{run['slo_scale']:g}", run["measured"]["num_requests"],
            percent(run["slo_attainment_simulated"]), percent(run["slo_attainment"]),
            f"{run['difference_points']:+.2f}",
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
    is_emulated: bool,
    token: str | None,
    tls: Tls | None,
) -> None:
    from statmux.calibrate import calibrate

    if not inputs:
        raise InvalidInput(
            "every model of the fleet generates, and an overhead is measured with requests of one reply",
            hint="replay a trace: its simulation rests on step times that contain the host's work",
        )
    from statmux.precise import run_precisely

    found = run_precisely(
        calibrate(
            address,
            inputs,
            placement=placement,
            catalog=deployment.catalog(),
            num_requests=num_requests,
            token=token,
            tls=tls,
        )
    )
    console.result(
        {"emulated": is_emulated, **asdict(found)},
        lambda: (
            f"{'emulated: ' if is_emulated else ''}fixed overhead {found.fixed_overhead_s * 1e3:.3f} ms "
            f"(quartiles {found.lower_quartile_s * 1e3:.3f} to {found.upper_quartile_s * 1e3:.3f}, "
            f"{found.num_requests} requests)\n"
            f"use it: --set simulation.fixed_overhead_s={found.fixed_overhead_s:.6f}"
        ),
    )
