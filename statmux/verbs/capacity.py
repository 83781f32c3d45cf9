"""`statmux capacity FILE --trace TRACE --sweep AXIS=RANGE`: will it hold, and with how much room?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from statmux.render import Console
from statmux.sweeping import flags
from vocabulary.errors import InvalidInput

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def capacity(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    trace: flags.TraceFile = None,
    train_trace: flags.TrainTrace = None,
    plan: flags.PlanFile = None,
    sweep: flags.Sweeps = None,
    at: flags.Places = None,
    algorithm: flags.Algorithms = None,
    replan: flags.Replan = False,
    require_attainment: flags.RequiredAttainment = None,
    minimize: flags.Minimize = None,
    within: flags.Within = None,
    node_class: flags.ResizedClass = None,
    seeds: flags.Seeds = 1,
    seed: flags.Seed = 0,
    resample: flags.Resample = False,
    window: flags.Window = None,
    trim_s: flags.Trim = 0.0,
    processes: flags.Processes = None,
    address: flags.Address = None,
    fresh: flags.Fresh = False,
    out: flags.Out = None,
    report: flags.Report = None,
) -> None:
    """Say whether a fleet holds its SLOs on this traffic, with how much room, and which smallest fleet does.

    A heterogeneous cluster changes size in one node class (--node-class). Points found are kept in
    .statmux/runs/ and taken up again by the same command.
    """
    from statmux.sweeping.asked import Asked
    from statmux.sweeping.study import Ways, run_study

    if plan is not None and replan and not algorithm:
        hint = "leave --plan out, or name an --algorithm to compare it with"
        raise InvalidInput("a given plan is not planned anew", where="--replan", hint=hint)
    if address == "local":
        hint = "leave it out: this machine's cores are used then"
        raise InvalidInput("there is no Ray cluster to join", where="--address local", hint=hint)
    asked = Asked(
        deployment=deployment,
        trace=trace,
        train_trace=train_trace,
        plan=plan,
        sweeps=tuple(sweep or ()),
        at=tuple(at or ()),
        algorithms=tuple(algorithm or ()),
        is_replanned=replan,
        required_attainment=require_attainment,
        objective=None if minimize is None else minimize.value,
        within=within,
        node_class=node_class,
        num_draws=seeds,
        seed=seed,
        is_drawn=resample,
        window_s=window,
        trim_s=trim_s,
        overrides=tuple(ctx.obj.overrides),
    )
    ways = Ways(num_processes=processes, address=address, is_fresh=fresh, out=out, report=report)
    code = run_study(asked, ways, Console(ctx.obj))
    if code:
        raise typer.Exit(code)
