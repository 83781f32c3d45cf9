"""Completion of words in a shell: scripts, and the answers that these ask `statmux` for."""

from __future__ import annotations

import os

# A shell's script sets it when it asks which words may come next.
VARIABLE = "_STATMUX_COMPLETE"


def prepare() -> None:
    """Before the command line is read: know how to answer a shell, if one asks."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init

        completion_init()


def script(shell: str) -> str:
    """For bash, zsh or fish."""
    from typer.completion import get_completion_script

    return get_completion_script(prog_name="statmux", complete_var=VARIABLE, shell=shell)
