"""`statmux plan FILE --trace TRACE --out PLAN`: search for the placement that meets most SLOs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from statmux.planning import flags
from statmux.render import Console
from statmux.sweeping import flags as capacity_flags
from vocabulary.errors import InvalidInput

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def plan(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    trace: flags.TraceFile = None,
    test_trace: flags.TestTrace = None,
    algorithm: flags.AlgorithmName = None,
    objective: flags.Objective = None,
    trim_s: flags.Trim = 0.0,
    seed: flags.Seed = None,
    time_budget: flags.TimeBudget = None,
    bound: flags.Bound = False,
    bound_budget: flags.BoundBudget = None,
    explain: flags.Explain = None,
    diff: flags.Diff = None,
    current: flags.Current = None,
    horizon: flags.Horizon = None,
    store: flags.Store = "1GB/s",  # type: ignore[assignment]
    group_start: flags.GroupStart = "0s",  # type: ignore[assignment]
    require_attainment: flags.RequiredAttainment = None,
    sweep: capacity_flags.Sweeps = None,
    minimize: capacity_flags.Minimize = None,
    within: capacity_flags.Within = None,
    plot: flags.Plot = None,
    out: flags.Out = None,
) -> None:
    """Search for the placement that keeps most requests of a trace within their SLO.

    With --sweep or --minimize a capacity study instead, as `statmux capacity --replan`; --out is its folder.
    """
    from statmux.planning.asked import Asked
    from statmux.planning.run import run_plan
    from statmux.planning.studying import run_capacity

    asked = Asked(
        deployment=deployment,
        trace=trace,
        test_trace=test_trace,
        algorithm=algorithm,
        objective=None if objective is None else objective.value,
        trim_s=trim_s,
        seed=seed,
        time_budget_s=time_budget,
        wants_bound=bound,
        bound_budget_s=bound_budget,
        explain=tuple(explain or ()),
        diff=diff,
        current=current,
        horizon_s=horizon,
        store_bytes_per_s=store,
        restart_s=group_start,
        required_attainment=require_attainment,
        plot=plot,
        out=out,
        overrides=tuple(ctx.obj.overrides),
    )
    console = Console(ctx.obj)
    if sweep or minimize is not None:
        smallest = None if minimize is None else minimize.value
        code = run_capacity(asked, console, sweeps=tuple(sweep or ()), minimize=smallest, within=within)
    elif within is not None:
        hint = "add --minimize devices or --minimize cost"
        raise InvalidInput("only a search for the smallest cluster has a range", where="--within", hint=hint)
    else:
        code = run_plan(asked, console)
    if code:
        raise typer.Exit(code)
