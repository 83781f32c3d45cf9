"""The index of decisions: number and title of each."""

from __future__ import annotations

from pathlib import Path

from docs.generators.markdown import notice

FOLDER = Path(__file__).parents[1] / "decisions"
PROSE = """# Decisions

Choices that were made with their reasons, what was tried besides, and what would make us choose again. They
are in the order in which they were made; a later one may amend an earlier one, and says so.

"""


def page() -> str:
    """The page decisions/README.md."""
    lines = [f"- [{title_of(path)}]({path.name})\n" for path in sorted(FOLDER.glob("0*.md"))]
    return notice("decisions") + PROSE + "".join(lines)


def title_of(path: Path) -> str:
    """The first heading of a page."""
    return path.read_text().splitlines()[0].removeprefix("# ")
