"""`statmux completion SHELL`: the script that makes a shell complete verbs, options and files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from statmux.render import Console

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


HINTS = {
    Shell.BASH: 'add to ~/.bashrc: eval "$(statmux completion bash)"',
    Shell.ZSH: 'add to ~/.zshrc, after compinit: eval "$(statmux completion zsh)"',
    Shell.FISH: "run once: statmux completion fish > ~/.config/fish/completions/statmux.fish",
}


@app.command()
def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="Whose script to print.", show_default=False)],
) -> None:
    """Print the script for bash, zsh or fish; how to use it is on stderr."""
    from statmux.completing import script

    typer.echo(script(shell.value))
    Console(ctx.obj).hint(HINTS[shell])
