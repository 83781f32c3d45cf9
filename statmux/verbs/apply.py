"""`statmux apply FILE...`: make a running fleet serve another deployment or plan, without a restart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console
from vocabulary.errors import Infeasible, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(add_completion=False, rich_markup_mode=None)
# Checking is quick; where a plan is searched, that takes `placement.search.time_budget_s` and a process.
_PREVIEW_TIMEOUT_S = 900.0
_ASK_TIMEOUT_S = 30.0


@app.command()
def apply(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="A deployment, a plan, or both.", show_default=False)],
    fleet: Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Return when the fleet runs it.")] = True,
    timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long to wait at most.")
    ] = "10m",  # type: ignore[assignment]
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Models may be without a replica for a while.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> None:
    """Show what would change, ask, change it while requests go on, and wait until it runs."""
    from statmux.asking import asked
    from statmux.fleets import control_socket

    console, path = Console(ctx.obj), control_socket(fleet)
    named = [(str(file.absolute()), str(file)) for file in files]
    with console.progress("working out the change"):
        preview = asked(
            path, "preview", timeout_s=_PREVIEW_TIMEOUT_S, files=named, overrides=ctx.obj.overrides
        )
    ticket = preview.pop("ticket")
    for warning in preview["warnings"]:
        console.warn(warning)
    if dry_run or preview["is_nothing"]:
        _show(console, preview, outcome="nothing was changed", is_preview=True)
        return
    _agree(console, preview, yes=yes, may_interrupt=interrupt)
    asked(path, "apply", timeout_s=_ASK_TIMEOUT_S, ticket=ticket, may_interrupt=interrupt)
    if not wait:
        _show(console, preview, outcome="the fleet is on its way; see `statmux status --watch`")
        return
    from statmux.converging import until_converged

    took_s = until_converged(console, path, timeout_s=timeout)
    _show(console, preview | {"seconds": round(took_s, 3)}, outcome=f"it runs, after {took_s:.1f} s")


def _agree(console: Console, preview: Mapping[str, Any], *, yes: bool, may_interrupt: bool) -> None:
    """Raises Infeasible where models would be interrupted without leave, RuntimeFailure for a no."""
    from statmux.apply_view import preview_text

    console.say(preview_text(preview))
    if preview["interrupted"] and not may_interrupt:
        raise Infeasible(
            f"without a replica for a while: {', '.join(preview['interrupted'])}; nothing was changed",
            hint="allow it with --interrupt, or free a device or some memory first",
        )
    is_asked = not yes and sys.stdin.isatty() and sys.stderr.isatty()
    if is_asked and not typer.confirm("apply this?", err=True):
        raise RuntimeFailure("nothing was changed", hint="you said no")


def _show(console: Console, preview: Mapping[str, Any], *, outcome: str, is_preview: bool = False) -> None:
    from statmux.apply_view import preview_text

    words = preview_text(preview) if is_preview else ""
    is_done = "seconds" in preview
    document = {**preview, "is_applied": not is_preview, "is_converged": is_done, "outcome": outcome}
    console.result(document, lambda: words or outcome)
