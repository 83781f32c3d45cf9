"""`statmux plan FILE --trace TRACE --out PLAN`: search for the placement that meets most SLOs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console

if TYPE_CHECKING:
    from placement.search import Found
    from vocabulary.deployment import Deployment
    from vocabulary.plan import Plan
    from vocabulary.trace import Trace

app = typer.Typer(add_completion=False, rich_markup_mode=None)

INTERRUPTED_EXIT_CODE = 130


@app.command()
def plan(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    trace: Annotated[
        Path | None,
        typer.Option(help="Traffic to plan for; drawn from `workload` without it.", show_default=False),
    ] = None,
    test_trace: Annotated[
        Path | None, typer.Option(help="Other traffic, to try the plan on.", show_default=False)
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="auto, beam, or a published one: mp-search, sr-greedy, ...", show_default=False),
    ] = None,
    trim_s: Annotated[
        float, typer.Option(min=0.0, help="Leave this many seconds at either end out of the statistics.")
    ] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the search.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Write the plan here.", show_default=False)] = None,
) -> None:
    """Search for the placement that keeps most requests of a trace within their SLO."""
    from placement.search import planned
    from simulator.fast import load_compiler
    from vocabulary.formats.disk import load_deployment, load_trace, write_plan

    console = Console(ctx.obj)
    load_compiler()
    read = load_deployment(deployment, overrides=ctx.obj.overrides)
    read = read if seed is None else replace(read, seed=seed)
    train = _traffic(read, trace, console)
    test = None if test_trace is None else load_trace(test_trace, models=read.model_names)
    found = _search(read, train, console, algorithm=algorithm, trim_s=trim_s)
    made = planned(found, read, train, trim_s=trim_s)
    made = replace(made, inputs=_inputs(deployment=deployment, trace=trace))
    if out is not None:
        write_plan(out, made)
    tested = None if test is None else _predicted(made, test, read, trim_s=trim_s)
    from statmux.plan_view import plan_document, plan_table

    document = plan_document(made, read, train, tested=tested, search_seconds=found.seconds, out=out)
    console.result(document, lambda: plan_table(document))
    _say_next(console, deployment, document, out)
    if not found.is_complete:
        console.warn("interrupted: this is the best placement so far")
        raise typer.Exit(INTERRUPTED_EXIT_CODE)


def _traffic(deployment: Deployment, path: Path | None, console: Console) -> Trace:
    from simulator.traffic.workload import expected_trace
    from vocabulary.formats.disk import load_trace

    if path is not None:
        return load_trace(path, models=deployment.model_names)
    drawn = expected_trace(deployment)
    console.say(
        f"no --trace: planning for {len(drawn)} requests drawn from `workload` with seed {deployment.seed}"
    )
    return drawn


def _search(
    deployment: Deployment, trace: Trace, console: Console, *, algorithm: str | None, trim_s: float
) -> Found:
    from placement.incumbent import Report
    from placement.search import search

    with console.progress("searching") as progress:

        def show(report: Report) -> None:
            best = "" if report.best_value is None else f", best {report.best_value:.2%}"
            progress.step(report.num_evaluated, note=f"{report.phase}{best}")

        return search(deployment, trace, algorithm=algorithm, trim_s=trim_s, progress=show)


def _predicted(made: Plan, trace: Trace, deployment: Deployment, *, trim_s: float) -> dict[str, Any]:
    from placement.explain import predict
    from simulator.fast_or_events import outcomes_of

    outcomes = outcomes_of(made.placement, trace, deployment=deployment)
    return predict(made.placement, outcomes, deployment=deployment, trim_s=trim_s)


def _inputs(**paths: Path | None) -> dict[str, object]:
    """What the plan was made from: names and SHA-256 of the files."""
    from hashlib import sha256

    from vocabulary.formats.disk import read_bytes

    return {
        name: {"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()}
        for name, path in paths.items()
        if path is not None
    }


def _say_next(console: Console, deployment: Path, document: dict[str, Any], out: Path | None) -> None:
    for name in document["not_placed"]:
        console.warn(f"{name} has no place; its requests count as missed")
    for name, one in document["models"].items():
        wanted = one["attainment_wanted"]
        if wanted is not None and one["slo_attainment"] < wanted:
            console.warn(
                f"{name} is predicted to attain {one['slo_attainment']:.2%}, {wanted:.2%} is asked for"
            )
    if out is None:
        console.hint("keep it with --out plan.yaml")
    else:
        console.hint(f"next: statmux serve {deployment} --plan {out}")
