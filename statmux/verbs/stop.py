"""`statmux stop`: drain a running fleet and end it; or end what is left of one whose controller died."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

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
    """Readiness goes off, accepted requests finish, all is closed. Twice: without waiting for requests.

    Where the controller was killed, what is left of its fleet is ended.
    """
    from statmux.fleets import control_socket

    console, path = Console(ctx.obj), control_socket(fleet)
    document = _end_dead(path) if _is_dead(path) else _stop(path, timeout_s=timeout if wait else None)
    ended = f" ({document['ended']} ended)" if document.get("ended") else ""
    console.result(document, lambda: f"{document['fleet']} is {document['state']}{ended}")


def _stop(path: Path, *, timeout_s: float | None) -> dict[str, Any]:
    """timeout_s: None to return at once."""
    from statmux.asking import asked

    answer = asked(path, "stop", timeout_s=_ASK_TIMEOUT_S)
    document = {"fleet": path.parent.name, "state": answer["state"], "num_pending": answer["num_pending"]}
    if timeout_s is None:
        return document
    end_s = time.monotonic() + timeout_s
    while path.exists():
        if time.monotonic() > end_s:
            raise TimedOut(f"{document['fleet']} did not end within {timeout_s:g} s", hint="stop it again")
        time.sleep(_POLL_S)
    return document | {"state": "stopped"}


def _is_dead(path: Path) -> bool:
    """Whether a controller was there that did not end in order."""
    from controller.keys import keys_path
    from controller.verbs.control import is_alive

    return (path.exists() or keys_path(path.parent.name).exists()) and not is_alive(path)


def _end_dead(path: Path) -> dict[str, Any]:
    from statmux.ending_orphans import end_dead_fleet

    ended = end_dead_fleet(path.parent)
    return {"fleet": path.parent.name, "state": "stopped", "num_pending": 0, "ended": ended}
