"""The flags of `statmux capacity`, one type each."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statmux.durations import positive_seconds


class Objective(StrEnum):
    DEVICES = "devices"
    COST = "cost"


TraceFile = Annotated[
    Path | None, typer.Option(help="Traffic to hold; drawn from `workload` without it.", show_default=False)
]
TrainTrace = Annotated[
    Path | None, typer.Option(help="Other traffic to plan on; without it, --trace.", show_default=False)
]
PlanFile = Annotated[
    Path | None, typer.Option(help="A plan to study; planned here without it.", show_default=False)
]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AXIS=RANGE",
        help="A curve over devices, rate_scale, slo_scale or cv_scale: A..B, A..B:STEP or A,B,C. Without a "
        "step: whole nodes for devices, 8 equal ratios for scales. Repeatable: each is a curve of its own "
        "through the base point, not a grid.",
        show_default=False,
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Option(metavar="AXIS=VALUE", help="Moves the base point; repeatable.", show_default=False),
]
Algorithms = Annotated[
    list[str] | None,
    typer.Option(
        help="Who plans: auto, beam, mp-search, sr-greedy, ...; repeatable, to compare.", show_default=False
    ),
]
Replan = Annotated[
    bool,
    typer.Option(
        "--replan", help="Plan anew at every point, not only for devices; else the base plan stays."
    ),
]
RequiredAttainment = Annotated[
    float | None,
    typer.Option(
        help="Share of requests that must be within their SLO, or exit with 3. Without it, slo.attainment of "
        "the models gives the verdict, and the exit code says nothing of it.",
        show_default=False,
    ),
]
Minimize = Annotated[
    Objective | None,
    typer.Option(help="Find the smallest, or the cheapest, cluster that holds.", show_default=False),
]
Within = Annotated[
    str | None,
    typer.Option(
        metavar="LO..HI",
        help="Devices of the smallest cluster; without it, one node to 8 times the deployment.",
        show_default=False,
    ),
]
ResizedClass = Annotated[
    str | None,
    typer.Option(
        help="Node class that grows and shrinks while the others stay; without it, the last. "
        "--minimize cost mixes all.",
        show_default=False,
    ),
]
Seeds = Annotated[
    int, typer.Option(min=1, help="Draws of traffic at a point where traffic is drawn, for the intervals.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the first draw.")]
Resample = Annotated[
    bool,
    typer.Option(
        "--resample",
        help="Draw arrivals anew from the trace's rate and CV per window at every point, as cv_scale always "
        "does; else the trace is replayed, in less or more time.",
    ),
]
Window = Annotated[
    float | None,
    typer.Option(
        parser=positive_seconds,
        help="Where traffic is drawn: the time in which a model's rate and CV count as steady; without it, "
        "a minute.",
        show_default=False,
    ),
]
Trim = Annotated[
    float, typer.Option(min=0.0, help="Leave this many seconds at either end out of the statistics.")
]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Points at a time; without it, all cores.", show_default=False)
]
Address = Annotated[
    str | None,
    typer.Option(help="Evaluate on the Ray cluster there (auto, HOST:PORT, ray://...).", show_default=False),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs of the same study found.")]
Out = Annotated[
    Path | None,
    typer.Option(help="A folder for the record, the CSV files and the smallest plan.", show_default=False),
]
Report = Annotated[Path | None, typer.Option(help="Write an HTML report here.", show_default=False)]
