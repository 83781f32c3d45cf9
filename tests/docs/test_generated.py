"""Generated pages say what the code says."""

from __future__ import annotations

from pathlib import Path

from docs.generators.pages import DOCS, PAGES, stale, write


def test_every_generated_page_is_what_the_code_says() -> None:
    assert not stale(), "run python -m docs.generators"


def test_a_page_that_is_missing_or_changed_is_stale_until_it_is_written(tmp_path: Path) -> None:
    assert stale(tmp_path) == list(PAGES)
    assert write(tmp_path) == list(PAGES)
    assert not stale(tmp_path)
    assert all((tmp_path / name).read_text() == (DOCS / name).read_text() for name in PAGES)
