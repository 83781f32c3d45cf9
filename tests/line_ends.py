"""Files whose lines end in blanks, or that do not end in one line end: for a hook, and for a test of all.

python -m tests.line_ends README.md statmux/main.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def faults(paths: Iterable[Path]) -> Iterator[str]:
    """One sentence a fault, with file and line. Files that are no text are passed over."""
    for path in paths:
        try:
            text = path.read_bytes().decode()
        except (UnicodeDecodeError, OSError):
            continue
        for number, line in enumerate(text.split("\n"), start=1):
            # Two blanks end a line in Markdown.
            if line != line.rstrip(" \t\r") and not (path.suffix == ".md" and line == line.rstrip() + "  "):
                yield f"{path}:{number}: the line ends in blanks"
        if text and not text.endswith("\n"):
            yield f"{path}: no line end at the end of the file"
        elif text.endswith("\n\n"):
            yield f"{path}: empty lines at the end of the file"


def main() -> int:
    found = list(faults(map(Path, sys.argv[1:])))
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
