"""`statmux init`: a deployment file to start from, with this machine's devices, or one of the examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from statmux.examples import EXAMPLES, Example, example_files, read_example
from statmux.render import Console
from vocabulary.errors import InvalidInput

TEMPLATE = "template.yaml"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def init(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("deployment.yaml"),
    example: Annotated[
        Example | None,
        typer.Option("--example", help="Write an example, with its profiles.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a commented deployment file with the devices of this machine, or an example."""
    from vocabulary.formats.disk import write_bytes

    files = example_files(example, path) if example is not None else {path: _template()}
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        message = f"already there: {', '.join(there)}"
        raise InvalidInput(message, hint="name another file, or pass --force to replace what is there")
    for file, content in files.items():
        write_bytes(file, content)
    console = Console(ctx.obj)
    written = [str(file) for file in files]
    console.result({"written": written}, lambda: "\n".join(f"wrote {file}" for file in written))
    console.hint(f"next: statmux validate {path}")


def _template() -> bytes:
    from controller.discovery import this_host

    devices = this_host()
    if not devices.memory_mib:
        raise InvalidInput(
            f"cannot tell how much memory each of the {devices.count} {devices.type} devices has "
            f"({devices.evidence})",
            hint="statmux init --example tiny; then write your devices into cluster.nodes",
        )
    text = read_example(EXAMPLES / TEMPLATE).decode()
    memory = f"{devices.memory_mib}MiB"
    for key, value in (("@TYPE@", devices.type), ("@COUNT@", str(devices.count)), ("@MEMORY@", memory)):
        text = text.replace(key, value)
    return text.encode()
