"""One story for tests that only look, and one browser for those that look at the page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chromium import CHROMIUM, MISSING, Tab, open_tab
from tests.controller.live.story import Story


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """At its start."""
    story = Story(tmp_path)
    yield story
    story.close()


@pytest.fixture(scope="session")
def told() -> Iterator[Story]:
    """After half a minute of traffic and the loss of a group. Leave it as it is."""
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        story = Story(Path(folder))
        story.advance(20.0)
        story.lose("g4", why="its worker ended with code -9")
        story.advance(10.0)
        yield story
        story.close()


@pytest.fixture(scope="module")
def tab() -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with open_tab() as tab:
        yield tab
