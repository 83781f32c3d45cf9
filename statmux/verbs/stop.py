"""`statmux stop`: drain a running fleet and end it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from statmux.durations import seconds
from statmux.render import Console
from vocabulary.errors import TimedOut

app = typer.Typer(add_completion=False, rich_markup_mode=None)
_ASK_TIMEOUT_S = 5.0
_POLL_S = 0.1


@app.command()
def stop(
    ctx: typer.Context,
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is gone.")] = False,
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long to wait at most.")
    ] = "90s",  # type: ignore[assignment]
) -> None:
    """Readiness goes off, accepted requests finish, all is closed. Twice: without waiting for requests."""
    from controller.control import ask
    from statmux.fleets import control_socket

    console = Console(ctx.obj)
    path = control_socket(fleet)
    answer = ask(path, "stop", timeout_s=_ASK_TIMEOUT_S)
    document = {"fleet": path.parent.name, "state": answer["state"], "num_pending": answer["num_pending"]}
    if wait:
        end_s = time.monotonic() + timeout
        while path.exists():
            if time.monotonic() > end_s:
                raise TimedOut(f"{document['fleet']} did not end within {timeout:g} s", hint="stop it again")
            time.sleep(_POLL_S)
        document["state"] = "stopped"
    console.result(document, lambda: f"{document['fleet']} is {document['state']}")
