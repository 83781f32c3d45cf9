"""`statmux explain [REQUEST_ID]`: why a request was answered as it was, or what was decided lately."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from controller.journal.lines import EventLine, RequestLine
    from controller.journal.read import JournalFile
    from statmux.explaining import Context

app = typer.Typer(add_completion=False, rich_markup_mode=None)
# A request is in the file a quarter of a second after its answer at the latest, if the disk writes.
_PATIENCE_S = 2.0
_POLL_S = 0.1
_MAX_AROUND = 12
_MAX_REPLICAS = 5000


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
    from controller.journal.read import JournalFile
    from statmux.fleets import journal_path

    console = Console(ctx.obj)
    path = journal_path(fleet)
    journal = JournalFile(path)
    if request_id is None:
        _show_decisions(console, path, journal.events(last)[::-1])
    else:
        _show_request(console, _found(journal, request_id, path), journal)


def _found(journal: JournalFile, request_id: str, path: Path) -> RequestLine:
    """It may have been answered just now. Raises InvalidInput for one that is not there."""
    from controller.control import is_alive, socket_path

    end_s = time.monotonic() + (_PATIENCE_S if is_alive(socket_path(path.parent.name)) else 0.0)
    while (line := journal.request(request_id)) is None:
        if time.monotonic() > end_s:
            raise InvalidInput(f"the journal has no request {request_id!r}{_span(journal)}", hint=_remedy())
        time.sleep(_POLL_S)
    return line


def _span(journal: JournalFile) -> str:
    from statmux.explaining import clock_time

    first, last = journal.span()
    if first is None or last is None:
        return "; it has no requests"
    return f"; it has those from {clock_time(first)} to {clock_time(last)} UTC"


def _remedy() -> str:
    return "`observability.journal` says which requests are kept (requests: all) and how many (max_rows)"


def _show_request(console: Console, line: RequestLine, journal: JournalFile) -> None:
    import msgspec

    from statmux.explaining import event_sentence, explained

    context = _context(line, journal)
    sentences = explained(line, context)
    document: dict[str, Any] = {
        "request": msgspec.structs.asdict(line),
        "sentences": list(sentences),
        "plan": None if context.plan is None else _event(context.plan),
        "around": [_event(each) for each in context.around],
    }
    told = [f"  {event_sentence(each)}" for each in context.around]
    console.result(document, lambda: "\n".join([*sentences, *(["", "around then:"] if told else []), *told]))


def _context(line: RequestLine, journal: JournalFile) -> Context:
    from statmux.explaining import AROUND_S, REPLICA_KINDS, Context

    replicas = journal.events(_MAX_REPLICAS, kinds=REPLICA_KINDS, to_unix_s=line.unix_s)
    plans = journal.events(1, kinds=("plan",), to_unix_s=line.unix_s)
    around = journal.events(
        _MAX_AROUND,
        from_unix_s=line.unix_s - AROUND_S,
        to_unix_s=line.unix_s + line.latency_s + AROUND_S,
    )
    return Context(replicas[::-1], plans[0] if plans else None, around[::-1])


def _show_decisions(console: Console, path: Path, events: tuple[EventLine, ...]) -> None:
    from statmux.explaining import event_sentence

    document = {"fleet": path.parent.name, "events": [_event(each) for each in events]}
    console.result(document, lambda: "\n".join(map(event_sentence, events)) or "nothing was decided yet")


def _event(event: EventLine) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(event)
