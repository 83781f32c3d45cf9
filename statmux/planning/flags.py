"""The flags of `statmux plan`, one type each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statmux.durations import positive_seconds, seconds


class ObjectiveName(StrEnum):
    SLO_ATTAINMENT = "slo_attainment"
    WEIGHTED = "weighted_slo_attainment"
    MIN_MODEL = "min_model_attainment"
    MIN_DEVICES = "min_devices"
    MIN_COST = "min_cost"
    MAX_RATE_SCALE = "max_rate_scale"


def bandwidth(text: str) -> float:
    """Raises typer.BadParameter with the accepted forms."""
    from vocabulary.units import parse_bandwidth

    try:
        found = parse_bandwidth(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if found <= 0:
        raise typer.BadParameter(f"{text!r} moves nothing; write it like 1GB/s (bytes) or 10Gb/s (bits)")
    return found


TraceFile = Annotated[
    Path | None,
    typer.Option(help="Traffic to plan for; drawn from `workload` without it.", show_default=False),
]
TestTrace = Annotated[
    Path | None, typer.Option(help="Other traffic, to try the plan on.", show_default=False)
]
AlgorithmName = Annotated[
    str | None,
    typer.Option(help="auto, beam, or a published one: mp-search, sr-greedy, ...", show_default=False),
]
Objective = Annotated[
    ObjectiveName | None,
    typer.Option(help="What to look for; overrides placement.objective of the file.", show_default=False),
]
Trim = Annotated[
    float, typer.Option(min=0.0, help="Leave this many seconds at either end out of the statistics.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Of the search.", show_default=False)]
TimeBudget = Annotated[
    float | None,
    typer.Option(
        parser=positive_seconds,
        metavar="DURATION",
        help="Search for so long (30s, 2m); without it, until nothing is left to gain.",
        show_default=False,
    ),
]
Bound = Annotated[
    bool,
    typer.Option("--bound", help="Also say what no placement can exceed, and what memory costs. Slow."),
]
BoundBudget = Annotated[
    float | None,
    typer.Option(
        parser=positive_seconds,
        metavar="DURATION",
        help="Of --bound alone; a minute without it.",
        show_default=False,
    ),
]
Explain = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="Say why it sits where it does, and what other groups would give; repeatable.",
        show_default=False,
    ),
]
Diff = Annotated[
    Path | None,
    typer.Option(metavar="OLD", help="Say what moves from this plan, and what it costs.", show_default=False),
]
Current = Annotated[
    Path | None,
    typer.Option(
        metavar="OLD",
        help="Move away from this plan only where it pays within --horizon.",
        show_default=False,
    ),
]
Horizon = Annotated[
    float | None,
    typer.Option(
        parser=positive_seconds,
        metavar="DURATION",
        help="How long traffic stays like this, for --current; an hour without it.",
        show_default=False,
    ),
]
MovingFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="OLD",
        help="The plan served until now: groups open when weights that move are there, estimated.",
        show_default=False,
    ),
]
Store = Annotated[
    float,
    typer.Option(
        parser=bandwidth,
        metavar="BANDWIDTH",
        help="What a host reads of weights that no group holds, where plans change.",
    ),
]
GroupStart = Annotated[
    float,
    typer.Option(
        parser=seconds,
        metavar="DURATION",
        help="What a new group takes to start besides its weights, for --current.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw the placement, by its end: .svg or .png.", show_default=False),
]
RequiredAttainment = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Exit with 3 below this, and say what would be enough.",
        show_default=False,
    ),
]
Out = Annotated[Path | None, typer.Option(help="Write the plan here.", show_default=False)]
