"""The options of `statmux trace import`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statmux.durations import seconds
from statmux.verbs.trace_options import KINDS


class TraceFormat(StrEnum):
    """What a file is: one of ours, or published by others."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    AZURE_LLM_2023 = "azure-llm-2023"
    AZURE_LLM_2024 = "azure-llm-2024"
    AZURE_FUNCTIONS_2019 = "azure-functions-2019"
    AZURE_FUNCTIONS_2021 = "azure-functions-2021"
    MOONCAKE = "mooncake"
    BURSTGPT = "burstgpt"
    SERVEGEN = "servegen"
    LMSYS_CHAT_1M = "lmsys-chat-1m"
    ALPASERVE = "alpaserve"


class Unit(StrEnum):
    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"


Traces = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", show_default=False,
        help=f"A trace: {KINDS}, or what --format says; several files, or their folder, for days or clients.",
    ),
]  # fmt: skip
Format = Annotated[
    TraceFormat | None,
    typer.Option("--format", help="What the file is; goes by its name without it.", show_default=False),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Every request is for this model.", show_default=False)
]
Deal = Annotated[
    str | None,
    typer.Option(
        "--map", metavar="round_robin|stripe|FILE", show_default=False,
        help="How functions, clients or models become --models; FILE has lines function,model.",
    ),
]  # fmt: skip
Models = Annotated[
    str | None,
    typer.Option(
        "--models", help="Our models: a,b,c; without --map no others may occur.", show_default=False
    ),
]
TimeUnit = Annotated[Unit, typer.Option("--unit", help="What timestamps count.")]
Start = Annotated[
    float,
    typer.Option(
        "--start", parser=seconds, metavar="TIME", help="Leave out what is before.", show_default="0s"
    ),
]
Duration = Annotated[
    float | None,
    typer.Option("--duration", parser=seconds, metavar="TIME", help="Take so much: 1h.", show_default=False),
]
FromZero = Annotated[
    bool, typer.Option("--from-zero", help="Shift timestamps so that the first request is at 0.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out and count rows that would be refused.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="For arrivals that are drawn.")]
Cv = Annotated[
    float | None,
    typer.Option(
        "--cv", min=0, show_default=False,
        help="Of the gaps drawn for counts of a window (azure-functions-2019); 1 without it.",
    ),
]  # fmt: skip
Rate = Annotated[
    float | None,
    typer.Option("--rate", show_default=False, help="Requests a second of conversations (lmsys-chat-1m)."),
]
Think = Annotated[
    float,
    typer.Option(
        "--think",
        parser=seconds,
        metavar="TIME",
        help="Mean time between turns (lmsys-chat-1m).",
        show_default="30s",
    ),
]
