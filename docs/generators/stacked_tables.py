"""A hook of mkdocs: cells of the tables of the reference know their head, for rows as cards on phones."""

from __future__ import annotations

import re
from html import escape
from typing import Any

FOLDER = "reference/"
TABLE = re.compile(r"<table>.*?</table>", re.S)
HEAD = re.compile(r"<th[^>]*>(.*?)</th>", re.S)
ROW = re.compile(r"<tr>.*?</tr>", re.S)
CELL = re.compile(r"<td(?=[ >])")


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Marks the tables of a page of the reference."""
    return TABLE.sub(lambda found: marked(found[0]), html) if page.url.startswith(FOLDER) else html


def marked(table: str) -> str:
    """`data-head` on every cell, `data-rows` on the table."""
    heads = [escape(re.sub("<[^>]*>", "", head), quote=True) for head in HEAD.findall(table)]

    def row(found: re.Match[str]) -> str:
        names = iter(heads)
        return CELL.sub(lambda _: f'<td data-head="{next(names, "")}"', found[0])

    return ROW.sub(row, table).replace("<table>", "<table data-rows>", 1)
