"""`statmux schema KIND`: the JSON Schema of a kind of file, for editors and other tools."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Kind(StrEnum):
    DEPLOYMENT = "deployment"
    PROFILE = "profile"
    PLAN = "plan"
    TRACE = "trace"


@app.command()
def show_schema(
    ctx: typer.Context, kind: Annotated[Kind, typer.Argument(help="The kind of file.", show_default=False)]
) -> None:
    """Print the JSON Schema of a kind of file (as YAML with -o yaml)."""
    from statmux.options import OutputFormat
    from vocabulary.formats.schema import schema
    from vocabulary.formats.yaml_out import format_yaml

    document = schema(kind)
    is_yaml = ctx.obj.output is OutputFormat.YAML
    sys.stdout.write(format_yaml(document) if is_yaml else json.dumps(document, indent=2) + "\n")
