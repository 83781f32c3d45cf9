"""A hook of mkdocs: `how-to/*` in the navigation stands for the pages of a folder that nothing else names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

REST = "/*"


def on_config(config: Any) -> Any:
    """Fills in the rests, by name; a section that is left empty goes."""
    named = set(paths_in(config.nav))
    config.nav = filled(config.nav, Path(config.docs_dir), named)
    return config


def paths_in(entry: Any) -> Iterator[str]:
    """Every path within a part of the navigation."""
    match entry:
        case str():
            yield entry
        case dict():
            for inner in entry.values():
                yield from paths_in(inner)
        case list():
            for inner in entry:
                yield from paths_in(inner)


def filled(entries: list[Any], docs: Path, named: set[str]) -> list[Any]:
    """The entries with what their rests stand for."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith(REST):
            pages = sorted(page.relative_to(docs).as_posix() for page in docs.glob(f"{entry}.md"))
            found += [page for page in pages if page not in named]
        elif isinstance(entry, dict):
            inner = {title: part_of(part, docs, named) for title, part in entry.items()}
            found += [inner] if all(inner.values()) else []
        else:
            found.append(entry)
    return found


def part_of(part: Any, docs: Path, named: set[str]) -> Any:
    """A section with its rests filled in, or a path as it is."""
    return filled(part, docs, named) if isinstance(part, list) else part
