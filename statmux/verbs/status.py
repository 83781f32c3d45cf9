"""`statmux status`: groups, models and attainment of a running fleet."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from statmux.durations import positive_seconds, seconds
from statmux.render import Console
from vocabulary.errors import InvalidInput, TimedOut, Unreachable

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_ASK_TIMEOUT_S = 5.0
_POLL_S = 0.2


class WaitFor(StrEnum):
    READY = "ready"


@app.command()
def status(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Only this one, and its groups.", show_default=False)
    ] = None,
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    wait: Annotated[WaitFor | None, typer.Option(help="Return when it is so.", show_default=False)] = None,
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long to wait at most.")
    ] = "120s",  # type: ignore[assignment]
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C; with -o json a line each.")
    ] = False,
    every: Annotated[
        float, typer.Option(parser=positive_seconds, metavar="DURATION", help="Between two looks.")
    ] = "2s",  # type: ignore[assignment]
) -> None:
    """Ask a fleet, through its control socket in this folder, how it is doing."""
    from statmux.fleets import control_socket
    from statmux.status_view import status_text
    from statmux.watching import watch as watch_fleet

    console = Console(ctx.obj)
    first = _ask(fleet) if wait is None else _wait_ready(fleet, timeout, console)
    if model is not None and model not in first["models"]:
        hint = f"it has {', '.join(first['models'])}"
        raise InvalidInput(f"fleet {first['fleet']} has no model {model!r}", hint=hint)

    def text(document: dict[str, Any]) -> str:
        return status_text(document, model=model)

    if watch:
        path = control_socket(first["fleet"])
        name, is_gone = first["fleet"], lambda: not path.exists()
        watch_fleet(console, first, lambda: _ask(name), text, is_gone=is_gone, every_s=every)
    else:
        console.result(first, lambda: text(first))


def _ask(fleet: str | None) -> dict[str, Any]:
    from statmux.asking import asked
    from statmux.fleets import control_socket

    return asked(control_socket(fleet), "status", timeout_s=_ASK_TIMEOUT_S)


def _wait_ready(fleet: str | None, timeout_s: float, console: Console) -> dict[str, Any]:
    """Also waits for the fleet to appear: `serve` in the background takes a moment to open its socket."""
    end_s = time.monotonic() + timeout_s
    with console.progress("waiting for the fleet") as progress:
        while True:
            try:
                document = _ask(fleet)
                if document["is_ready"]:
                    return document
                progress.step(0, note=document["state"])
            except Unreachable:
                progress.step(0, note="not there yet")
            if time.monotonic() > end_s:
                raise TimedOut(
                    f"the fleet was not ready within {timeout_s:g} s", hint="see the log of `serve`"
                )
            time.sleep(_POLL_S)
