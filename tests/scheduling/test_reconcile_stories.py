"""Stories of reconciliation as text (`reconcile_transcript.py`); `--rewrite` makes today's answers golden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scheduling.reconcile_transcript import retold

STORIES = sorted((Path(__file__).parent / "golden_reconcile").glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_the_fleet_changes_as_in_the_story(story: Path, request: pytest.FixtureRequest) -> None:
    told = retold(story.read_text())
    if request.config.getoption("--rewrite", default=False):
        story.write_text(told)
    assert told == story.read_text(), f"if the new answers are right: pytest {story.parents[1]} --rewrite"
