"""`statmux drain GROUP|HOST`: take a group, or all of a host, out of service, and back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from statmux.durations import positive_seconds
from statmux.render import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def drain(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A group, or a host as n-0.", show_default=False)],
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it back into service.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where models will have no replica any more.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(parser=positive_seconds, metavar="DURATION", help="How long to wait at most.")
    ] = "10m",  # type: ignore[assignment]
) -> None:
    """Plan without it, let it finish what it has accepted, and return when nothing runs there."""
    from statmux.asking import asked
    from statmux.fleets import control_socket

    console, path = Console(ctx.obj), control_socket(fleet)
    with console.progress(f"{'taking back' if undo else 'draining'} {target}"):
        if undo:
            answer = asked(path, "undrain", timeout_s=timeout, target=target)
        else:
            answer = asked(path, "drain", timeout_s=timeout, target=target, force=force)
    console.result(answer, lambda: _sentence(answer))


def _sentence(answer: dict[str, Any]) -> str:
    unplaced = answer.get("unplaced")
    lost = f"; without a replica now: {', '.join(unplaced)}" if unplaced else ""
    return f"{answer['target']} is {answer['state']}{lost}"
