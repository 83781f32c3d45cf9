"""The command blocks of a page as one script, in their order.

`sh` blocks run as they are, of `console` blocks the lines after `$ `, `python` blocks by the same Python.
A comment before a block takes it out: `<!-- not run: reason -->` always, `<!-- nightly: reason -->` where
the page is run in short.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!-- (?P<when>not run|nightly): (?P<reason>[^>]*?) -->\n+)?"
    r"^```(?P<language>sh|bash|console|python)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
# What a page leaves running ends with its script.
_END = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT"


@dataclass(frozen=True, slots=True)
class Block:
    """when: `not run`, `nightly`, or empty for always."""

    language: str
    text: str
    when: str
    reason: str

    @property
    def command(self) -> str:
        match self.language:
            case "python":
                return f"python - <<'END_OF_PYTHON'\n{self.text}END_OF_PYTHON\n"
            case "console":
                lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
                return "\n".join(lines) + "\n"
            case _:
                return self.text


def blocks_of(page: Path) -> list[Block]:
    return [
        Block(
            found["language"], found["text"], found["when"] or "", " ".join((found["reason"] or "").split())
        )
        for found in BLOCK.finditer(page.read_text())
    ]


def script_of(page: Path, *, is_nightly: bool) -> str:
    """What runs, with the first line of what does not and why, printed."""
    parts = ["set -euo pipefail", _END]
    for block in blocks_of(page):
        if block.when == "not run" or (block.when == "nightly" and not is_nightly):
            print(f"{page.name}: {block.when} ({block.reason}): {block.text.splitlines()[0]}")
        else:
            parts += [f": {page.name}", block.command]
    return "\n".join(parts)
