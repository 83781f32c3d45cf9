"""Generated pages say what the code says."""

from __future__ import annotations

from pathlib import Path

from docs.generators.pages import stale, write


def test_every_generated_page_is_what_the_code_says() -> None:
    assert not stale(), "run python -m docs.generators"


def test_a_page_that_is_missing_or_changed_is_stale_until_it_is_written(tmp_path: Path) -> None:
    pages = {"reference/a.md": lambda: "# A\n", "b.md": lambda: "# B\n"}
    assert stale(tmp_path, pages=pages) == write(tmp_path, pages=pages) == list(pages)
    assert not stale(tmp_path, pages=pages)
    (tmp_path / "b.md").write_text("# B, by hand\n")
    assert write(tmp_path, pages=pages) == ["b.md"]
    assert (tmp_path / "b.md").read_text() == "# B\n"
