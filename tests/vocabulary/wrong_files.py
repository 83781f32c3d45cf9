"""Wrong files and what a user reads about each, as text files: `=== what`, the file, `---`, the message.

`STATMUX_REWRITE=1 pytest tests/vocabulary` writes the messages anew; reviewers read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vocabulary.errors import StatmuxError

FOLDER = Path(__file__).parent / "wrong"
IS_REWRITING = bool(os.environ.get("STATMUX_REWRITE"))


@dataclass(frozen=True, slots=True)
class WrongFile:
    """`content` may hold escapes (\\t, \\xff) for what an editor would not keep."""

    collection: str
    what: str
    content: str
    message: str

    @property
    def raw(self) -> bytes:
        return self.content.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")


def wrong_files(collection: str) -> list[WrongFile]:
    """All cases of `wrong/<collection>.txt`."""
    cases = []
    for part in (FOLDER / f"{collection}.txt").read_text().split("=== ")[1:]:
        what, rest = part.split("\n", 1)
        content, _, message = rest.rpartition("---\n")
        cases.append(WrongFile(collection, what, content, message.rstrip("\n")))
    assert len({case.what for case in cases}) == len(cases), collection
    return cases


def told(read: Callable[[], object]) -> str:
    """What the command line prints when `read` raises."""
    try:
        read()
    except StatmuxError as error:
        assert error.exit_code == 2, error
        return f"error: {error}\nhint: {error.hint}"
    raise AssertionError("nothing was wrong")


def assert_told(case: WrongFile, message: str) -> None:
    """Compares, or rewrites."""
    if not IS_REWRITING:
        assert message == case.message
        return
    path = FOLDER / f"{case.collection}.txt"
    old = f"=== {case.what}\n{case.content}---\n{case.message}\n"
    path.write_text(path.read_text().replace(old, f"=== {case.what}\n{case.content}---\n{message}\n"))
