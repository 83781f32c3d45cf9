"""`statmux models ls|load|unload`: models of a running fleet."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from statmux.durations import positive_seconds
from statmux.render import Console, milliseconds, percent, table

app = typer.Typer(add_completion=False, rich_markup_mode=None, help="List, load and unload models.")
_ASK_TIMEOUT_S = 5.0
_Fleet = Annotated[str | None, typer.Option(help="metadata.name of the fleet.", show_default=False)]
_Models = Annotated[list[str], typer.Argument(metavar="MODEL...", show_default=False)]
_Timeout = Annotated[
    float, typer.Option(parser=positive_seconds, metavar="DURATION", help="How long to wait at most.")
]


@app.command("ls")
def ls(ctx: typer.Context, fleet: _Fleet = None) -> None:
    """List the models of the deployment, where they are and how they do."""
    from statmux.asking import asked
    from statmux.fleets import control_socket

    document = asked(control_socket(fleet), "models", timeout_s=_ASK_TIMEOUT_S)
    Console(ctx.obj).result(document, lambda: _table(document["models"]))


@app.command()
def load(ctx: typer.Context, models: _Models, fleet: _Fleet = None, timeout: _Timeout = "5m") -> None:  # type: ignore[assignment]
    """Load models where there is room for them, and return when they are ready. May be asked twice."""
    _tell(ctx, "load", models, fleet, timeout_s=timeout)


@app.command()
def unload(ctx: typer.Context, models: _Models, fleet: _Fleet = None, timeout: _Timeout = "5m") -> None:  # type: ignore[assignment]
    """Let models finish what they have accepted, then free their memory. May be asked twice."""
    _tell(ctx, "unload", models, fleet, timeout_s=timeout)


def _tell(ctx: typer.Context, verb: str, models: list[str], fleet: str | None, *, timeout_s: float) -> None:
    """One after the other: each may need the room that the one before it has left."""
    from statmux.asking import asked
    from statmux.fleets import control_socket

    console, path = Console(ctx.obj), control_socket(fleet)
    answers: dict[str, Any] = {}
    with console.progress(f"{verb}ing", total=len(models)) as progress:
        for model in models:
            progress.step(len(answers), note=model)
            answers[model] = asked(path, verb, timeout_s=timeout_s, model=model)
    console.result({"models": answers}, lambda: "\n".join(map(_sentence, answers.items())))


def _sentence(item: tuple[str, dict[str, Any]]) -> str:
    model, answer = item
    groups = f" on {', '.join(answer['groups'])}" if answer["groups"] else ""
    return f"{model} is {answer['state']}{groups}"


def _table(models: dict[str, dict[str, Any]]) -> str:
    rows = [
        [
            name, one["state"], ", ".join(one["groups"]) or None, one["engine"], one["num_served"],
            one["num_failed"], percent(one["slo_attainment"]), milliseconds(one["mean_latency_s"]),
        ]
        for name, one in models.items()
    ]  # fmt: skip
    headings = ("model", "state", "groups", "engine", "served", "not served", "attainment", "mean")
    return table(headings, rows, left=4)
