"""`statmux trace gen`: traffic drawn from a deployment's `workload` keys, or from flags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import positive_seconds
from statmux.render import Console
from statmux.verbs import trace_gen_options as options
from statmux.verbs.trace_gen_options import ProcessName
from statmux.verbs.trace_options import Out
from statmux.verbs.trace_show import show_trace
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from vocabulary.deployment import ModelSpec, Workload


def generate(
    ctx: typer.Context,
    out: Out,
    deployment: options.DeploymentFile = None,
    process: Annotated[
        ProcessName, typer.Option("--process", help="How requests arrive.")
    ] = ProcessName.GAMMA,
    models: options.Models = None,
    rate: options.Rate = None,
    exponent: options.Exponent = None,
    duration: Annotated[
        float, typer.Option(parser=positive_seconds, metavar="DURATION", help="How long: 90, 90s, 20m.")
    ] = "60s",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option("--seed", min=0, help="One seed gives one trace, on any machine.")] = 0,
    rate_scale: Annotated[float, typer.Option("--rate-scale", min=0, help="Multiplies every rate.")] = 1.0,
    tenants: options.Tenants = None,
    cv: options.Cv = None,
    states: options.States = None,
    clients: options.Clients = None,
    on: options.On = None,
    off: options.Off = None,
    amplitude: options.Amplitude = None,
    peak: options.Peak = None,
    hours: options.Hours = None,
    period: options.Period = None,
    turns: options.Turns = None,
    think: options.Think = None,
    system_prompts: options.SystemPrompts = None,
    system_share: options.SystemShare = None,
) -> None:
    """Draw traffic: of a deployment's `workload` keys, or of --models at a --rate.

    gamma and poisson are steady; mmpp switches between states; onoff has clients that rest; diurnal has
    hours; models that generate are asked for tokens, of the mean lengths in `workload`. chat has
    conversations with token counts and prefixes, with the marginals of LMSYS-Chat-1M. Each model draws for
    itself: one more changes no other's arrivals.
    """
    from simulator.traffic.lengths import with_lengths
    from statmux.generating import Shaping, drawn, in_one_go, of_tenants
    from vocabulary.formats.disk import write_trace

    workloads = _workloads(ctx, deployment, models=models, rate=rate, exponent=exponent, scale=rate_scale)
    shaping = Shaping(
        cv, states, clients, on, off, amplitude, peak, hours, period, turns, think, system_prompts,
        system_share,
    )  # fmt: skip
    trace = drawn(workloads, process, shaping, duration_s=duration, seed=seed)
    models_of = _profiled(ctx, deployment)
    one_shot = [name for name, one in models_of.items() if not one.generates]
    if trace.tokens is not None and one_shot:
        trace = in_one_go(trace, one_shot)
        Console(ctx.obj).say(f"{', '.join(one_shot)}: no output tokens, the profile has no step_times")
    generating = {name: one for name, one in models_of.items() if one.generates and name in trace.models}
    if trace.tokens is None and generating:
        trace = with_lengths(trace, generating, seed=seed)
    if not len(trace):
        raise InvalidInput("the trace would hold no requests", hint="raise --duration or the rates")
    if tenants is not None:
        trace = of_tenants(trace, tenants, seed=seed)
    write_trace(out, trace)
    if trace.tokens is not None and ".csv" in out.name.lower():
        Console(ctx.obj).warn("CSV holds no lists; left out: prefix_hashes (.parquet and .jsonl hold them)")
    more: dict[str, Any] = {"process": str(process), "seed": seed}
    show_trace(ctx, trace, out=out, more=more)


def _workloads(
    ctx: typer.Context,
    deployment: Path | None,
    *,
    models: str | None,
    rate: str | None,
    exponent: float | None,
    scale: float,
) -> dict[str, Workload]:
    from vocabulary.deployment import Workload

    if deployment is None:
        if models is None or rate is None:
            hint = "name a deployment, or write --models a,b,c --rate 20"
            raise InvalidInput("there is nothing to say who asks for what", hint=hint)
        from statmux.generating import rates_of

        rates = rates_of(models, rate, 0.5 if exponent is None else exponent)
        return {name: Workload(rate_rps * scale) for name, rate_rps in rates.items()}
    for flag, value in (("--models", models), ("--rate", rate), ("--exponent", exponent)):
        if value is not None:
            hint = "leave it out, or the deployment; --set changes the deployment's rates"
            raise InvalidInput("the deployment says models and rates", where=flag, hint=hint)
    return _of_deployment(ctx, deployment, scale)


def _profiled(ctx: typer.Context, deployment: Path | None) -> dict[str, ModelSpec]:
    """Models of the deployment whose profile says whether they generate."""
    from vocabulary.formats.disk import load_deployment

    if deployment is None:
        return {}
    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    return {one.name: one for one in read.models if one.profile is not None}


def _of_deployment(ctx: typer.Context, deployment: Path, scale: float) -> dict[str, Workload]:
    from vocabulary.deployment import Workload
    from vocabulary.formats.disk import load_deployment

    read = load_deployment(deployment, overrides=ctx.obj.overrides, needs_profiles=False)
    workloads = {
        one.name: Workload(one.workload.rate_rps * scale, one.workload.cv)
        for one in read.models
        if one.workload is not None
    }
    if not workloads:
        hint = "give models `workload: {rate_rps: ..., cv: ...}`"
        raise InvalidInput("no model has a workload", where=str(deployment), hint=hint)
    return workloads
