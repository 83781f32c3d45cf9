"""`statmux simulate FILE --plan PLAN --trace TRACE`: what a plan would do with this traffic."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statmux.example_steps import ExampleFolder
from statmux.examples import Example
from statmux.planning import flags
from statmux.render import Console
from vocabulary.errors import Infeasible, InvalidInput

if TYPE_CHECKING:
    from statmux.simulating import Found, Question

app = typer.Typer(add_completion=False, rich_markup_mode=None)
# Fewer resamples give an interval, but one that the next seed would move.
_STEADY_RESAMPLES = 100


class Engine(StrEnum):
    AUTO = "auto"
    FAST = "fast"
    EVENTS = "events"


CompareTo = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="A folder from `bench --record`: simulate it, show errors.",
        show_default=False,
    ),
]


@app.command()
def simulate(
    ctx: typer.Context,
    deployment: Annotated[
        Path | None, typer.Argument(help="The deployment file; a record has its own.", show_default=False)
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="The plan to simulate; a record has its own.", show_default=False)
    ] = None,
    trace: Annotated[Path | None, typer.Option(help="The requests to replay.", show_default=False)] = None,
    example: Annotated[
        Example | None,
        typer.Option(help="Plan and simulate an example in a folder of its name.", show_default=False),
    ] = None,
    compare_to: CompareTo = None,
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
    seeds: Annotated[
        int, typer.Option(metavar="N", min=0, help="95% intervals from N resamples of the trace's windows.")
    ] = 0,
    moving_from: flags.MovingFrom = None,
    store: flags.Store = "1GB/s",  # type: ignore[assignment]
    require_attainment: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Exit with 3 below this.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Latencies, by its end: .svg, .png or .csv.", show_default=False),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write all of it as a page.", show_default=False)
    ] = None,
) -> None:
    """Replay a trace on a plan in virtual time, with the scheduling code that serves."""
    from simulator.fast import load_compiler
    from statmux.simulating import Question
    from vocabulary.formats.disk import write_outcomes

    console = Console(ctx.obj)
    _check(slo_scale, rate_scale, seeds)
    if example is not None:
        deployment, plan, trace = _of_example(console, example, ctx.obj.overrides, deployment, plan, trace)
    if engine is not Engine.EVENTS:
        load_compiler()
    question = Question(
        tuple(ctx.obj.overrides), engine.value, trim_s, slo_scale, rate_scale, seeds, moving_from, store
    )
    found = _found(question, deployment, plan, trace, compare_to)
    if outcomes is not None:
        write_outcomes(outcomes, found.outcomes, placement=found.placement)
    _show(console, found)
    _draw(found, plot, report)
    if 0 < seeds < _STEADY_RESAMPLES:
        console.hint(f"{seeds} resamples give a rough interval; --seeds 200 a steady one")
    _check_attainment(require_attainment, found.document["slo_attainment"])


def _check(slo_scale: float, rate_scale: float, seeds: int) -> None:
    _check_scale("--slo-scale", slo_scale)
    _check_scale("--rate-scale", rate_scale)
    if seeds == 1:
        raise InvalidInput("one resample has no spread", where="--seeds", hint="200 are good")


def _draw(found: Found, plot: Path | None, report: Path | None) -> None:
    if plot is not None:
        _plot(plot, found)
    if report is not None:
        _report(report, found)


def _of_example(
    console: Console,
    example: Example,
    overrides: Sequence[str],
    deployment: Path | None,
    plan: Path | None,
    trace: Path | None,
) -> tuple[Path, Path, Path]:
    """Its files, but for a plan and a trace that are given."""
    if deployment is not None:
        raise InvalidInput(
            f"{deployment} and the example {example} cannot both be simulated",
            where="--example",
            hint="leave one of them out",
        )
    laid = ExampleFolder(example, overrides=overrides, say=console.say).to_simulate()
    return laid.deployment, plan or laid.plan, trace or laid.trace


def _found(
    question: Question, deployment: Path | None, plan: Path | None, trace: Path | None, record: Path | None
) -> Found:
    from statmux.simulating import compared, simulated

    if record is not None:
        if trace is not None:
            raise InvalidInput(
                "a record is compared on the requests that it has", where="--trace", hint="leave --trace out"
            )
        if question.moving_from is not None:
            raise InvalidInput(
                "a record is compared with its fleet as it was served",
                where="--moving-from",
                hint="leave it out, or give a deployment, --plan and --trace",
            )
        return compared(question, record, deployment, plan)
    if deployment is None or plan is None or trace is None:
        missing = {"a deployment": deployment, "--plan": plan, "--trace": trace}
        words = " and ".join(name for name, value in missing.items() if value is None)
        raise InvalidInput(
            f"there is no {words.removeprefix('a ')}",
            hint="statmux simulate FILE --plan PLAN --trace TRACE, or --compare-to RUN, or --example NAME",
        )
    return simulated(question, deployment, plan, trace)


def _show(console: Console, found: Found) -> None:
    from statmux.comparing_view import comparison_table
    from statmux.simulate_view import simulated_table
    from statmux.simulating import without_lengths

    view = simulated_table if found.recorded is None else comparison_table
    console.result(found.document, lambda: view(found.document))
    if names := without_lengths(found):
        console.warn(f"the trace has no token counts: requests of {', '.join(names)} count as one-shot ones")


def _plot(path: Path, found: Found) -> None:
    from statmux.latency_figures import latency_figure, quantile_figure
    from statmux.reporting.figures import write_figure

    name = found.deployment.name
    if found.recorded is None:
        figure = latency_figure(found.outcomes, found.deployment, title=f"{name}: simulated latency")
    else:
        title = f"{name}: simulated against measured latency, percentiles"
        figure = quantile_figure(found.recorded.measured, found.outcomes, title=title)
    write_figure(path, figure)


def _report(path: Path, found: Found) -> None:
    from statmux.reporting.simulation_page import simulation_page
    from vocabulary.formats.disk import write_bytes

    measured = None if found.recorded is None else found.recorded.measured
    page = simulation_page(
        found.document, found.outcomes, found.placement, found.deployment, measured=measured
    )
    write_bytes(path, page.encode())


def _check_attainment(wanted: float | None, found: float) -> None:
    if wanted is not None and found < wanted:
        raise Infeasible(
            f"the simulated attainment is {found:.2%}, {wanted:.2%} is required",
            where="--require-attainment",
            hint="`statmux plan` searches a better placement, `statmux capacity` a cluster that holds",
        )


def _check_scale(flag: str, scale: float) -> None:
    if not 0 < scale < float("inf"):
        raise InvalidInput(f"{scale} is no scale", where=flag, hint="give a number above 0")
