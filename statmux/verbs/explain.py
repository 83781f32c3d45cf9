"""`statmux explain [REQUEST_ID]`: why a request was answered as it was, or what was decided lately."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from controller.journal.read import JournalFile

app = typer.Typer(add_completion=False, rich_markup_mode=None)
# A request is in the file a quarter of a second after its answer at the latest, if the disk writes.
_PATIENCE_S = 2.0
_POLL_S = 0.1


@app.command()
def explain(
    ctx: typer.Context,
    request_id: Annotated[
        str | None,
        typer.Argument(
            help="As the client sent it or was told it. Without: what was decided lately.", show_default=False
        ),
    ] = None,
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="So many decisions, without an id.")] = 20,
) -> None:
    """Say from the fleet's journal why a request was rejected or served, where and when."""
    from controller.journal.explanation import decisions
    from controller.journal.read import JournalFile
    from statmux.fleets import journal_path

    console, path = Console(ctx.obj), journal_path(fleet)
    journal = JournalFile(path)
    if request_id is None:
        events = decisions(journal, last)
        document = {"fleet": path.parent.name, "events": events}
        console.result(document, lambda: "\n".join(_sentences(events)) or "nothing was decided yet")
    else:
        found = _explained(journal, request_id, path)
        console.result(found, lambda: _text(found))


def _explained(journal: JournalFile, request_id: str, path: Path) -> dict[str, Any]:
    """It may have been answered just now. Raises InvalidInput for one that is not there."""
    from controller.journal.explanation import explanation
    from controller.verbs.control import is_alive, socket_path

    end_s = time.monotonic() + (_PATIENCE_S if is_alive(socket_path(path.parent.name)) else 0.0)
    while True:
        try:
            return explanation(journal, request_id)
        except InvalidInput:
            if time.monotonic() > end_s:
                raise
        time.sleep(_POLL_S)


def _text(found: dict[str, Any]) -> str:
    around = [f"  {one}" for one in _sentences(found["around"])]
    return "\n".join([*found["sentences"], *(["", "around then:", *around] if around else [])])


def _sentences(events: list[dict[str, Any]]) -> list[str]:
    return [event["sentence"] for event in events]
