"""`statmux version`: what is installed, found without importing any of it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from statmux.render import Console, table

PACKAGES = ("jax", "jaxlib", "ray", "grpcio", "numpy", "numba", "pyarrow", "pydantic")
app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def show_versions(ctx: typer.Context) -> None:
    """Print the versions of statmux, Python and the libraries that matter."""
    versions = {"statmux": statmux_version(), "python": platform.python_version()}
    versions |= {name: _installed(name) for name in PACKAGES}
    Console(ctx.obj).result(versions, lambda: table(("", "version"), list(versions.items()), left=2))


def statmux_version() -> str:
    """The version of this application."""
    return _installed("statmux") or "not installed"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
