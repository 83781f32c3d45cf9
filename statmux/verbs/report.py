"""`statmux report RUN`: the HTML report of a run record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from statmux.render import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    ctx: typer.Context,
    run: Annotated[Path, typer.Argument(help="A folder from `bench --record`.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The page to write; report.html in the folder if left out.")
    ] = None,
) -> None:
    """Draw one run as a page that stands alone: nothing in it is fetched from anywhere."""
    from statmux.reporting.page import render_page
    from statmux.reporting.record import read_record
    from vocabulary.formats.disk import write_bytes

    path = out or run / "report.html"
    write_bytes(path, render_page(read_record(run)).encode())
    Console(ctx.obj).result({"report": str(path)}, lambda: str(path))
