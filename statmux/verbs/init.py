"""`statmux init`: a deployment file to start from, with this machine's devices, or one of the examples."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from statmux.render import Console
from vocabulary.errors import InvalidInput, RuntimeFailure

# statmux is installed as an application, from its checkout: the examples lie beside the code.
EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"
TEMPLATE = "template.yaml"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


class Example(StrEnum):
    TINY = "tiny"
    TWO_MODELS = "two-models"
    A100X16 = "a100x16"
    LLM_AND_ENCODERS = "llm-and-encoders"


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

    files = _of_example(example, path) if example is not None else {path: _template()}
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


def _of_example(example: Example, path: Path) -> dict[Path, bytes]:
    """What to write where: the deployment at `path`, the rest beside it."""
    folder = EXAMPLES / example
    files = {}
    for source in sorted(folder.rglob("*")):
        if source.is_file():
            inside = source.relative_to(folder)
            target = path if inside == Path("deployment.yaml") else path.parent / inside
            files[target] = _read(source)
    if not files:
        raise _no_examples(folder)
    return files


def _template() -> bytes:
    from controller.discovery import this_host

    devices = this_host()
    if not devices.memory_mib:
        raise InvalidInput(
            f"cannot tell how much memory each of the {devices.count} {devices.type} devices has "
            f"({devices.evidence})",
            hint="statmux init --example tiny; then write your devices into cluster.nodes",
        )
    text = _read(EXAMPLES / TEMPLATE).decode()
    memory = f"{devices.memory_mib}MiB"
    for key, value in (("@TYPE@", devices.type), ("@COUNT@", str(devices.count)), ("@MEMORY@", memory)):
        text = text.replace(key, value)
    return text.encode()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise _no_examples(file) from None


def _no_examples(file: Path) -> RuntimeFailure:
    hint = "install statmux from its checkout (`make setup`), which has deploy/examples"
    return RuntimeFailure("the examples are not installed", where=str(file), hint=hint)
