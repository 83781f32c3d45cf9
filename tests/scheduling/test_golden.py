"""Whole stories of the machines as text (`transcript.py`); `--rewrite` makes today's answers golden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scheduling.transcript import retold

STORIES = sorted((Path(__file__).parent / "golden").glob("*.txt"))


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_the_machine_answers_as_in_the_story(story: Path, request: pytest.FixtureRequest) -> None:
    told = retold(story.read_text())
    if request.config.getoption("--rewrite", default=False):
        story.write_text(told)
    assert told == story.read_text(), f"if the new answers are right: pytest {story.parents[1]} --rewrite"


def test_there_are_stories() -> None:
    assert len(STORIES) >= 3


def test_answers_in_the_text_are_not_read() -> None:
    story = "model a 1:0.5\ngroup g0 stages=1 a\nmachine g0\nt=0.0 arrive 0 a\n    nonsense\n"
    assert retold(story).endswith("t=0.0 arrive 0 a\n    run batch 0 of a: 0\n")


def test_an_event_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="t=0 explode"):
        retold("model a 1:0.5\ngroup g0 stages=1 a\nmachine g0\nt=0 explode\n")
