"""The options that every verb takes, before or after its name: how to print, how much to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any

import typer


class OutputFormat(StrEnum):
    """What goes to stdout: a table for people, or one document for programs."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(slots=True)
class Choices:
    """What the user chose; filled in while the command line is read, and read by verbs as `ctx.obj`."""

    output: OutputFormat = OutputFormat.TABLE
    is_quiet: bool = False
    verbosity: int = 0
    has_colour: bool = True
    overrides: list[str] = field(default_factory=list)


def global_parameters(*, takes_overrides: bool) -> list[Any]:
    """Parameters to add to a verb; they write into `ctx.obj` and are not passed to the verb."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(_global_options)
    parameters = typer.main.get_command(app).params
    return [one for one in parameters if one.name != "overrides" or takes_overrides]


def _stored(name: str) -> Callable[..., Any]:
    """A callback that keeps a value the user gave; defaults leave what a flag before the verb has set."""

    def store(ctx: typer.Context, value: Any) -> Any:
        if value and not ctx.resilient_parsing:
            match name:
                case "output":
                    ctx.obj.output = value
                case "quiet":
                    ctx.obj.is_quiet = True
                case "verbose":
                    ctx.obj.verbosity = max(ctx.obj.verbosity, value)
                case "no_color":
                    ctx.obj.has_colour = False
                case "overrides":
                    ctx.obj.overrides.extend(value)
        return value

    return store


def _option(name: str, *flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, callback=_stored(name), expose_value=False, show_default=False, **settings)


def _global_options(
    overrides: Annotated[
        list[str] | None,
        _option(
            "overrides", "--set", metavar="PATH=VALUE", help="Override a key of the deployment; repeatable."
        ),
    ] = None,
    output: Annotated[
        OutputFormat | None, _option("output", "-o", "--output", help="Print a table, or one document.")
    ] = None,
    quiet: Annotated[
        bool, _option("quiet", "--quiet", "-q", help="Only results and errors, no progress or hints.")
    ] = False,
    verbose: Annotated[
        int, _option("verbose", "--verbose", "-v", count=True, help="Say more; show tracebacks.")
    ] = 0,
    no_color: Annotated[
        bool, _option("no_color", "--no-color", help="No colour (also NO_COLOR, TERM=dumb).")
    ] = False,
) -> None:
    """Holds the options; never called."""
