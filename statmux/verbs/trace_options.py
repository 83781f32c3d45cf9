"""Options and their reading that several `statmux trace` verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vocabulary.errors import InvalidInput

# Files of a trace: the kind comes from the end of the name.
KINDS = ".csv, .csv.gz, .jsonl or .parquet"

TraceFile = Annotated[Path, typer.Argument(help=f"A trace: {KINDS}.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help=f"The file to write: {KINDS}.", show_default=False)]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns", help="Names of the file's columns: timestamp_s=t,model=client.", show_default=False
    ),
]


def column_names(text: str | None) -> dict[str, str]:
    """`timestamp_s=t,model=client` as our names -> the file's. Raises InvalidInput."""
    columns = dict(part.partition("=")[::2] for part in names_in(text))
    if not all(columns.values()):
        hint = "write --columns timestamp_s=t,model=client"
        raise InvalidInput(f"{text!r} is not a list of NAME=COLUMN", where="--columns", hint=hint)
    return columns


def names_in(text: str | None) -> tuple[str, ...]:
    """`a, b,c` as its parts; nothing for None."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
