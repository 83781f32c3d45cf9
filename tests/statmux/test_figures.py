"""Figures: equal ones are equal files, their numbers are all in the CSV, names in them are not markup."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest

from statmux.reporting.figures import (
    Figure,
    Mark,
    Series,
    csv_text,
    inline_svg,
    png_bytes,
    svg_text,
    write_figure,
    write_figures,
)
from statmux.reporting.rendering import described
from statmux.reporting.thinning import thinned
from vocabulary.errors import InvalidInput

SWEEP = Figure(
    "Attainment <b>", "devices", "attainment (%)",
    (
        Series("auto", [8, 16, 32], [50.0, 99.0, np.nan], low=[40.0, 98.0, np.nan], high=[60.0, 100, np.nan]),
        Series("sr & co", [8, 16, 32], [30.0, 60.0, 0.1 + 0.2], style="steps"),
        Series("published", [8, 16], [45.0, 95.0], style="points"),
    ),
    marks=(Mark(99.0, "asked", axis="y"), Mark(16, "now")),
)  # fmt: skip
BARS = Figure("Why", "reason", "requests", (Series("", ["late", "queue <full>"], [3, 1], style="bars"),))
EMPTY = Figure("Nothing", "x", "y", ())
LOGARITHMIC = Figure(
    "Rates", "scale", "y", (Series("a", [0.5, 1, 2], [0.0, 1.0, 2.0]),), x_log=True, y_log=True
)


@pytest.mark.parametrize("figure", [SWEEP, BARS, EMPTY, LOGARITHMIC], ids=lambda figure: figure.slug)
def test_equal_figures_are_equal_files(figure: Figure):
    assert svg_text(figure) == svg_text(figure)
    assert inline_svg(figure) == inline_svg(figure)
    assert png_bytes(figure) == png_bytes(figure)
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_names_are_words_in_an_svg_and_it_has_no_date():
    for svg in (svg_text(SWEEP), inline_svg(SWEEP)):
        assert "<b>" not in svg and "Attainment &lt;b&gt;" in svg
        assert "sr &amp; co" in svg and "sr & co" not in svg
        assert "dc:date" not in svg and "matplotlib.org" not in svg
    assert "queue &lt;full&gt;" in inline_svg(BARS)


def test_a_figure_in_a_page_takes_its_colours_from_the_page_and_says_what_it_shows():
    svg = inline_svg(SWEEP)
    assert svg.startswith("<svg") and 'role="img"' in svg and 'aria-label="Attainment &lt;b&gt;"' in svg
    assert "auto: 50 to 99." in svg and "asked at 99." in svg
    assert "<style" not in svg and "http" not in svg and 'id="figure' not in svg
    painted = re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)
    assert painted and all(color in ("none",) or color.startswith("var(--") for color in painted), set(
        painted
    )


def test_small_numbers_on_an_axis_keep_their_digits():
    svg = inline_svg(Figure("Small", "x", "y", (Series("a", [0, 1], [0.0, 0.004]),)))
    assert re.search(r">0\.0010<", svg), re.findall(r">(0\.\d+)<", svg)


def test_all_numbers_are_in_the_csv_as_they_are():
    head, *rows = csv.reader(io.StringIO(csv_text(SWEEP)))
    assert head == ["series", "devices", "attainment (%)", "low", "high"]
    assert rows[:3] == [
        ["auto", "8", "50.0", "40.0", "60.0"],
        ["auto", "16", "99.0", "98.0", "100.0"],
        ["auto", "32", "", "", ""],
    ]
    assert rows[5] == ["sr & co", "32", "0.30000000000000004", "", ""]
    assert rows[-2:] == [["asked", "", "99.0", "", ""], ["now", "16.0", "", "", ""]]
    assert csv_text(BARS) == "series,reason,requests\n,late,3\n,queue <full>,1\n"


def test_a_long_curve_is_thinned_to_its_extremes():
    y = np.zeros(100_000)
    y[12_345], y[77_777] = 9.0, -9.0
    found = thinned(Series("a", np.arange(len(y)), y))
    assert len(found.x) < 1000
    assert {12_345.0, 77_777.0, 0.0, 99_999.0} <= set(found.x.tolist())
    assert len(thinned(Series("a", np.arange(len(y)), y, style="points")).x) < 1000


def test_what_is_not_finite_leaves_a_gap_and_no_values_are_said_so():
    figure = Figure("Gaps", "x", "y", (Series("a", [0, 1, 2], [1.0, np.inf, 2.0]), Series("b", [], [])))
    assert "<svg" in svg_text(figure)
    assert described(figure) == "y against x. a: 1 to 2. b: no values."
    assert "no values" in svg_text(EMPTY)


def test_the_suffix_says_what_is_written(tmp_path: Path):
    for suffix, start in ((".svg", b"<?xml"), (".PNG", b"\x89PNG"), (".csv", b"series,")):
        path = tmp_path / f"figure{suffix}"
        write_figure(path, SWEEP)
        assert path.read_bytes().startswith(start)
    with pytest.raises(InvalidInput, match=r"cannot be written as \.pdf") as caught:
        write_figure(tmp_path / "figure.pdf", SWEEP)
    assert caught.value.hint


def test_figures_of_one_title_get_numbers(tmp_path: Path):
    assert list(write_figures(tmp_path, [EMPTY, EMPTY])) == ["nothing", "nothing-2"]
    names = {f"{stem}{suffix}" for stem in ("nothing", "nothing-2") for suffix in (".svg", ".png", ".csv")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_matplotlibrc_of_the_user_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    import matplotlib

    before = inline_svg(SWEEP)
    with matplotlib.rc_context({"font.size": 30, "axes.spines.top": True, "lines.linewidth": 9}):
        assert inline_svg(SWEEP) == before
