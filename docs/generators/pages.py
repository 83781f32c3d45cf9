"""Which pages are generated, and from which module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generators import cli, decisions, deployment_file, endpoints, errors, exit_codes, metrics

DOCS = Path(__file__).parents[1]
# Path below docs/ -> the function that writes the page.
PAGES: dict[str, Callable[[], str]] = {
    "decisions/README.md": decisions.page,
    "reference/cli.md": cli.page,
    "reference/deployment-file.md": deployment_file.page,
    "reference/endpoints.md": endpoints.page,
    "reference/errors.md": errors.page,
    "reference/exit-codes.md": exit_codes.page,
    "reference/metrics.md": metrics.page,
}


def stale(folder: Path = DOCS, *, pages: Mapping[str, Callable[[], str]] = PAGES) -> list[str]:
    """The generated pages below the folder that are not what the code says, or are not there."""
    return [name for name, page in pages.items() if text_of(folder / name) != page()]


def text_of(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def write(folder: Path = DOCS, *, pages: Mapping[str, Callable[[], str]] = PAGES) -> list[str]:
    """Writes the pages that are stale, and names them."""
    written = stale(folder, pages=pages)
    for name in written:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(pages[name]())
    return written
