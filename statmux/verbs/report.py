"""`statmux report RUN...`: the HTML report of a run record, of several, or of a capacity study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from statmux.reporting.layout import Page

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    ctx: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders from `bench --record`, or one from `capacity --out` with or without a run beside.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The page to write; report.html in the (first) folder if left out.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also write every figure there, as SVG, PNG and CSV."),
    ] = None,
) -> None:
    """Draw a run, several or a study as a page that stands alone: nothing in it is fetched from anywhere."""
    from statmux.reporting.figures import write_figures
    from vocabulary.formats.disk import write_bytes

    page, text = _drawn(runs)
    path = out or runs[0] / "report.html"
    write_bytes(path, text.encode())
    console = Console(ctx.obj)
    document: dict[str, object] = {"report": str(path)}
    if figures is not None:
        named = write_figures(figures, page.figures)
        console.say(f"{len(named)} figures are in {figures}, each as SVG, PNG and CSV")
        document["figures"] = str(figures)
    console.result(document, lambda: str(path))


def _drawn(folders: list[Path]) -> tuple[Page, str]:
    """The page and its HTML. Anybody may have edited a record: what cannot be drawn is its fault."""
    from statmux.reporting.layout import render

    try:
        page = _page(folders)
        return page, render(page)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        message = f"the record cannot be drawn: {type(error).__name__}: {error}"
        hint = (
            "was it edited? make it again with `bench --record` or `capacity --out`; -v says where it failed"
        )
        raise InvalidInput(message, where=", ".join(map(str, folders)), hint=hint) from error


def _page(folders: list[Path]) -> Page:
    from statmux.reporting.capacity_page import capacity_layout
    from statmux.reporting.comparison_sections import comparison_of_record
    from statmux.reporting.page import record_layout, runs_layout
    from statmux.reporting.record import read_record
    from statmux.reporting.study import is_study, read_study

    studies = [folder for folder in folders if is_study(folder)]
    records = [read_record(folder) for folder in folders if folder not in studies]
    if not studies:
        return record_layout(records[0]) if len(records) == 1 else runs_layout(records)
    if len(studies) > 1 or len(records) > 1:
        hint = "give one study, and one run to compare it with"
        raise InvalidInput(f"{len(studies)} studies and {len(records)} runs make no page", hint=hint)
    document = read_study(studies[0])
    if records:
        document = {**document, "comparison": comparison_of_record(records[0])}
    return capacity_layout(document)
