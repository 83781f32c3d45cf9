"""The picture of a placement: what is in it, and that equal ones are equal files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from statmux.reporting.placement_drawing import color_of, drawn
from statmux.reporting.placement_picture import (
    Column,
    Picture,
    Stage,
    check_suffix,
    described,
    picture_png,
    picture_svg,
    write_picture,
)
from vocabulary.errors import InvalidInput

WIDE = Column(
    "g0",
    "1 × 2",
    "n-0:0 .. n-0:1",
    (("chat", 0), ("a <b>", 1)),
    (Stage((60, 20), 10), Stage((30, 20))),
    100,
    0.5,
)
ALONE = Column("g1", "1 × 1", "n-0:2", (("chat", 0),), (Stage((60,)),), 100)
PICTURE = Picture("small & by hand", ("SLO attainment 90.00%",), (WIDE, ALONE), ("Without a place: tags",))


def of_size(num_groups: int, num_stages: int) -> Picture:
    models = tuple((f"m{number}", number) for number in range(12))
    stages = (Stage((8,) * 12),) * num_stages
    columns = [Column(f"g{i}", f"1 × {num_stages}", "n", models, stages, 100, 0.3) for i in range(num_groups)]
    return Picture("many", (), tuple(columns))


def test_equal_pictures_are_equal_files() -> None:
    assert picture_svg(PICTURE) == picture_svg(PICTURE)
    assert picture_png(PICTURE) == picture_png(PICTURE)
    assert picture_png(PICTURE).startswith(b"\x89PNG")


def test_groups_models_and_shares_are_words_in_the_svg() -> None:
    svg = picture_svg(PICTURE)
    for word in ("g0", "1 × 2", "n-0:0 .. n-0:1", "chat", "busy 50%", "90%", "Without a place: tags"):
        assert word in svg
    assert "<b>" not in svg
    assert "small &amp; by hand" in svg
    assert "matplotlib.org" not in svg


def test_a_picture_is_told_to_those_who_do_not_see_it() -> None:
    text = described(PICTURE)
    assert "g0 (1 × 2, n-0:0 .. n-0:1) holds chat, a <b>; its fullest stage is 90% full." in text
    assert "Without a place: tags" in text


def test_a_model_has_one_colour_and_its_neighbours_have_others() -> None:
    colors = [color_of(number) for number in range(21)]
    assert len(set(colors)) == 21
    assert color_of(21) == color_of(0)
    assert all(re.fullmatch(r"#[0-9a-f]{6}", color) for color in colors)


@pytest.mark.parametrize(("num_groups", "num_stages"), [(24, 1), (3, 8), (64, 1), (8, 8), (4, 16), (0, 1)])
def test_every_size_fits_on_a_page_that_can_be_read(num_groups: int, num_stages: int) -> None:
    canvas = drawn(of_size(num_groups, num_stages))
    width, height = canvas.get_size_inches()
    assert width <= 17
    assert height <= 14
    for text in canvas.axes[0].texts:
        x, y = text.get_position()
        assert 0 <= x <= width * 72
        assert 0 <= y <= height * 72


def test_bars_stay_inside_their_group() -> None:
    canvas = drawn(PICTURE)
    right = max(box.get_x() + box.get_width() for box in canvas.axes[0].patches)
    assert right <= canvas.get_size_inches()[0] * 72


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    for name in ("plan.pdf", "plan"):
        with pytest.raises(InvalidInput, match="cannot be drawn"):
            check_suffix(tmp_path / name)
        with pytest.raises(InvalidInput):
            write_picture(tmp_path / name, PICTURE)
    assert not list(tmp_path.iterdir())
