"""`statmux trace gen`: traffic drawn from a deployment's `workload` keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from statmux.verbs.trace_options import Out, duration_in_s
from statmux.verbs.trace_show import show_trace
from vocabulary.errors import InvalidInput


def generate(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="A deployment whose models have `workload`.")],
    out: Out,
    duration: Annotated[str, typer.Option("--duration", help="How long: 90, 90s, 20m.")] = "60s",
    seed: Annotated[int, typer.Option("--seed", min=0, help="One seed gives one trace, on any machine.")] = 0,
    rate_scale: Annotated[float, typer.Option("--rate-scale", help="Multiplies every rate.")] = 1.0,
) -> None:
    """Draw the traffic that a deployment's `workload` keys describe: a Gamma process per model."""
    from simulator.workload import generate as draw
    from vocabulary.deployment import Workload
    from vocabulary.formats.disk import load_deployment, write_trace

    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    workloads = {
        one.name: Workload(one.workload.rate_rps * rate_scale, one.workload.cv)
        for one in read.models
        if one.workload is not None
    }
    if not workloads:
        hint = "give models `workload: {rate_rps: ..., cv: ...}`"
        raise InvalidInput("no model has a workload", where=str(deployment), hint=hint)
    drawn = draw(workloads, duration_s=duration_in_s(duration), seed=seed)
    if not len(drawn):
        raise InvalidInput("the trace would hold no requests", hint="raise --duration or the rates")
    write_trace(out, drawn)
    show_trace(ctx, drawn, out=out)
