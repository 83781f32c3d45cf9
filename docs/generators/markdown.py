"""The few pieces of Markdown that generated pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Says at the top of a page where to change it; not shown.
NOTICE = "<!-- Written by `python -m docs.generators` from docs/generators/{module}.py and the code. -->\n\n"


def notice(module: str) -> str:
    """The comment that a generated page begins with."""
    return NOTICE.format(module=module)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown with a line for each row; `|` within a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *([cell(one) for one in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(text: str) -> str:
    """The text as a cell of a table: on one line, its bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """The text as code."""
    return f"`{text}`"
