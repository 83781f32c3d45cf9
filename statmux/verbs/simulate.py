"""`statmux simulate FILE --plan PLAN --trace TRACE`: what a plan would do with this traffic."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from statmux.render import Console, milliseconds, percent, table
from vocabulary.errors import InvalidInput

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Engine(StrEnum):
    AUTO = "auto"
    FAST = "fast"
    EVENTS = "events"


@app.command()
def simulate(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    plan: Annotated[Path, typer.Option(help="The plan to simulate.", show_default=False)],
    trace: Annotated[Path, typer.Option(help="The requests to replay.", show_default=False)],
    outcomes: Annotated[
        Path | None, typer.Option(help="Write one CSV row for every request.", show_default=False)
    ] = None,
    trim_s: Annotated[
        float, typer.Option(min=0.0, help="Leave this many seconds at either end out of the statistics.")
    ] = 0.0,
    slo_scale: Annotated[float, typer.Option(help="Multiplies every SLO.")] = 1.0,
    rate_scale: Annotated[float, typer.Option(help="Replays the trace this many times as fast.")] = 1.0,
    engine: Annotated[
        Engine, typer.Option(help="Compiled, or event by event; auto: compiled where it can.")
    ] = Engine.AUTO,
) -> None:
    """Replay a trace on a plan in virtual time, with the scheduling code that serves."""
    from simulator.fast import load_compiler
    from simulator.fast_or_events import outcomes_of
    from statmux.scaling import sped_up, with_slo_scale
    from statmux.summary import summary
    from vocabulary.fit import check_fit
    from vocabulary.formats.disk import load_deployment, load_plan, load_trace, write_outcomes

    _check_scale("--slo-scale", slo_scale)
    _check_scale("--rate-scale", rate_scale)
    if engine is not Engine.EVENTS:
        load_compiler()
    read = with_slo_scale(load_deployment(deployment, overrides=ctx.obj.overrides), slo_scale)
    placement = load_plan(plan, deployment=read).placement
    check_fit(placement, read)
    requests = sped_up(load_trace(trace, models=read.model_names), rate_scale)
    found = outcomes_of(placement, requests, deployment=read, engine=engine.value)
    if outcomes is not None:
        write_outcomes(outcomes, found, placement=placement)
    document = summary(found, trim_s=trim_s)
    Console(ctx.obj).result(document, lambda: _table(document))


def _check_scale(flag: str, scale: float) -> None:
    if not 0 < scale < float("inf"):
        raise InvalidInput(f"{scale} is no scale", where=flag, hint="give a number above 0")


def _table(document: dict[str, Any]) -> str:
    rows = [("all", document), *document["models"].items()]
    cells = [
        (
            name,
            one["num_requests"],
            percent(one["slo_attainment"]),
            milliseconds(one["p50_s"]),
            milliseconds(one["p99_s"]),
        )
        for name, one in rows
    ]
    reasons = [f"{count} {reason}" for reason, count in document["rejections"].items()]
    reasons += [f"{document['num_late']} late"] if document["num_late"] else []
    missed = f"missed: {', '.join(reasons) or 'none'}"
    goodput = f"goodput: {document['goodput_rps']:.3f} requests/s"
    text = table(("model", "requests", "SLO attainment", "p50", "p99"), cells)
    return f"{text}\n{goodput}; {missed}"
