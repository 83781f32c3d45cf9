"""Durations as people type them."""

from __future__ import annotations

import pytest
import typer

from statmux.durations import seconds


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [("60", 60.0), ("1.5", 1.5), ("60s", 60.0), ("2m", 120.0), ("500ms", 0.5), ("0", 0.0)],
)
def test_a_duration_is_seconds(text: str, expected_s: float):
    assert seconds(text) == expected_s


@pytest.mark.parametrize("text", ["", "soon", "-1", "-1s", "nan", "inf", "1e999", "5 apples"])
def test_what_is_no_duration_is_shown_with_one_that_is(text: str):
    with pytest.raises(typer.BadParameter, match="is not a duration; write"):
        seconds(text)
