"""The arguments and options of `statmux profile`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Deployment = Annotated[Path | None, typer.Argument(help="The deployment file.", show_default=False)]
Models = Annotated[list[str] | None, typer.Argument(help="All that have a source, if none is named.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the profiles, or a .json file for one; else where the deployment says."),
]
Rounds = Annotated[int, typer.Option(help="Timed runs of each stage and batch size.", min=3)]
CorrectFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Measure nothing: correct the profiles by a run from `bench --record`.",
        show_default=False,
    ),
]
Estimate = Annotated[
    bool, typer.Option("--estimate", help="Measure nothing: estimate, by a roofline of --device-type.")
]
Complete = Annotated[
    Path | None,
    typer.Option(
        metavar="PROFILE",
        help="Measure nothing: add the configurations that PROFILE lacks, estimated and scaled to it.",
        show_default=False,
    ),
]
ImportAlpa = Annotated[
    Path | None,
    typer.Option(
        metavar="TSV", help="Measure nothing: read profiles that Alpa's benchmarks wrote.", show_default=False
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="A folder, a config.json, random://FAMILY-SIZE, or numbers: layers=32,hidden=4096,vocab=51200.",
        show_default=False,
    ),
]
Name = Annotated[str | None, typer.Option(help="Name of the model in the profile.", show_default=False)]
DeviceType = Annotated[str | None, typer.Option(help="v100-16g, a100-80g, h100-80g, ...", show_default=False)]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16. [default: the device type's fastest]", show_default=False
    ),
]
Tensor = Annotated[str, typer.Option(metavar="N,...", help="Devices that share an operator.")]
Pipeline = Annotated[str, typer.Option(metavar="N,...", help="Stages.")]
BatchSizes = Annotated[str, typer.Option(metavar="N,...", help="Requests at once.")]
SequenceLength = Annotated[
    int | None, typer.Option(min=1, help="Tokens of a request. [default: 512]", show_default=False)
]
Generate = Annotated[bool, typer.Option("--generate", help="Estimate steps of generation too.")]
