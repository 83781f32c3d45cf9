"""`statmux capacity FILE --trace TRACE --sweep AXIS=RANGE`: will it hold, with how much room?"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from placement.capacity.evaluate import Study
    from statmux.sweeping.asked import Asked
    from statmux.sweeping.runner import Runner

app = typer.Typer(add_completion=False, rich_markup_mode=None)

INTERRUPTED_EXIT_CODE = 130
UNMET_EXIT_CODE = 3


class Objective(StrEnum):
    DEVICES = "devices"
    COST = "cost"


@app.command()
def capacity(
    ctx: typer.Context,
    deployment: Annotated[Path, typer.Argument(help="The deployment file.", show_default=False)],
    trace: Annotated[
        Path | None,
        typer.Option(help="Traffic to hold; drawn from `workload` without it.", show_default=False),
    ] = None,
    train_trace: Annotated[
        Path | None,
        typer.Option(help="Other traffic to plan on; without it, --trace itself.", show_default=False),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="A plan to study; planned here without it.", show_default=False)
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AXIS=RANGE",
            help="A curve over devices, rate_scale, slo_scale or cv_scale: A..B, A..B:STEP or A,B,C. Without "
            "a step: whole nodes for devices, 8 equal ratios for scales. Repeatable: each is a curve of its "
            "own through the base point, not a grid.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Moves the base point; repeatable.", show_default=False),
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            help="Who plans: auto, beam, mp-search, sr-greedy, ...; repeatable, to compare.",
            show_default=False,
        ),
    ] = None,
    replan: Annotated[
        bool,
        typer.Option(
            "--replan", help="Plan anew at every point; devices always do, others keep the base point's plan."
        ),
    ] = False,
    require_attainment: Annotated[
        float | None,
        typer.Option(
            help="Share of requests that must be within their SLO, or exit with 3. Without it, "
            "slo.attainment of the models.",
            show_default=False,
        ),
    ] = None,
    minimize: Annotated[
        Objective | None,
        typer.Option(help="Find the smallest or the cheapest cluster that holds.", show_default=False),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option(
            metavar="LO..HI",
            help="Devices of the smallest cluster; without it, one node to 8 times the deployment.",
            show_default=False,
        ),
    ] = None,
    node_class: Annotated[
        str | None,
        typer.Option(
            help="The node class that grows and shrinks, while the others stay; the last without it. "
            "--minimize cost mixes all.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Draws of traffic at each point where traffic is drawn, for the intervals."),
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the first draw.")] = 0,
    resample: Annotated[
        bool,
        typer.Option(
            "--resample",
            help="Draw arrivals anew from the trace's rate and CV per window at every point, as cv_scale "
            "always does; else the trace is replayed, in less or more time.",
        ),
    ] = False,
    trim_s: Annotated[
        float, typer.Option(min=0.0, help="Leave this many seconds at either end out of the statistics.")
    ] = 0.0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Points at a time; all cores without it.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Evaluate on the Ray cluster there (auto, HOST:PORT, ray://...).", show_default=False
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what an earlier, interrupted run has found.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for the record, the CSV files and the smallest plan.", show_default=False
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write an HTML report here.", show_default=False)
    ] = None,
) -> None:
    """Say whether a fleet holds its SLOs on this traffic, with how much room, and what smallest fleet does.

    A heterogeneous cluster changes size in one node class (--node-class). Points found are kept in
    .statmux/runs/ and taken up again by the same command.
    """
    from statmux.sweeping.asked import Asked

    if plan is not None and replan and not algorithm:
        hint = "leave --plan out, or name an --algorithm to compare it with"
        raise InvalidInput("a given plan is not planned anew", where="--replan", hint=hint)
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
        trim_s=trim_s,
        overrides=tuple(ctx.obj.overrides),
    )
    _run(asked, Console(ctx.obj), processes=processes, address=address, fresh=fresh, out=out, report=report)


def _run(
    asked: Asked,
    console: Console,
    *,
    processes: int | None,
    address: str | None,
    fresh: bool,
    out: Path | None,
    report: Path | None,
) -> None:
    import time

    from simulator.fast import load_compiler
    from statmux.sweeping.answers import answers_to
    from statmux.sweeping.asked import identify, prepare
    from statmux.sweeping.document import capacity_document
    from statmux.sweeping.files import write_study
    from statmux.sweeping.runner import Runner
    from statmux.sweeping.store import ROOT, Store

    start_s = time.perf_counter()
    load_compiler()
    prepared = prepare(asked)
    for sentence in prepared.remarks:
        console.say(sentence)
    inputs, run = identify(asked, prepared)
    store = Store(ROOT / run)
    if fresh:
        store.clear()
    pool = _pool(prepared.study, processes, address)
    with Runner(prepared.study, store=store, open_pool=pool, is_eager=address is not None) as runner:
        try:
            answers = answers_to(prepared.questions, prepared.study, runner, console)
        except KeyboardInterrupt:
            _say_how_to_go_on(console, runner, store.folder)
            raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    document = capacity_document(answers, prepared.questions, prepared.study, inputs=inputs, run_id=run)
    document |= {
        "num_points": runner.num_computed + runner.num_resumed,
        "num_resumed": runner.num_resumed,
        "seconds": round(time.perf_counter() - start_s, 3),
    }
    if runner.num_resumed:
        console.say(f"{runner.num_resumed} points were known from {store.folder} (--fresh forgets them)")
    if out is not None:
        write_study(out, document)
    if report is not None:
        _write_report(report, document)
    _show(console, document)
    _say_next(console, asked, document, out)
    if asked.required_attainment is not None and not _is_met(document):
        raise typer.Exit(UNMET_EXIT_CODE)


def _pool(study: Study, processes: int | None, address: str | None) -> Any:
    """How to start processes, when there is enough to do; None: all is done here."""
    if address is not None:
        from controller.ray_map import RayPool
        from placement.capacity.evaluate import evaluate

        return lambda: RayPool(evaluate, study, address=address)
    num_processes = processes or len(os.sched_getaffinity(0))
    if num_processes == 1:
        return None
    from statmux.sweeping.pool import LocalPool

    return lambda: LocalPool(study, num_processes=num_processes)


def _show(console: Console, document: dict[str, Any]) -> None:
    import sys

    from statmux.sweeping.tables import capacity_text

    has_blocks = (sys.stdout.encoding or "").lower().startswith("utf")
    console.result(document, lambda: capacity_text(document, has_blocks=has_blocks))


def _write_report(path: Path, document: dict[str, Any]) -> None:
    from statmux.render import SCHEMA_VERSION
    from statmux.reporting.capacity_page import capacity_page
    from vocabulary.formats.disk import write_bytes

    write_bytes(path, capacity_page({"schema_version": SCHEMA_VERSION, **document}).encode())


def _is_met(document: dict[str, Any]) -> bool:
    """With --minimize: a cluster was found; else: the base point holds. The best curve counts."""
    smallest = document["minimized"]
    return any(one["is_met"] for one in smallest) if smallest else document["verdict"]["holds"]


def _say_next(console: Console, asked: Asked, document: dict[str, Any], out: Path | None) -> None:
    for one in document["minimized"] or ():
        if one["remedy"] is not None:
            console.hint(f"{one['curve']}: {one['remedy']}")
    if not document["minimized"] and not document["verdict"]["holds"]:
        console.hint("find the smallest cluster that holds with --minimize devices")
    if out is None:
        console.hint("keep the numbers with --out FOLDER, or look at them with --report FILE.html")


def _say_how_to_go_on(console: Console, runner: Runner, folder: Path) -> None:
    num_kept = runner.num_computed + runner.num_resumed
    console.warn(f"interrupted: {num_kept} points are kept in {folder}")
    console.hint("the same command goes on from there; --fresh starts again")
