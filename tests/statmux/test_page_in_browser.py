"""Reports in headless Chromium: no errors, nothing fetched, nothing clipped; on a phone and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.statmux.browser import CHROMIUM, NAMES, look_at, run_chromium
from tests.statmux.plan_files import Desk, desk
from tests.statmux.test_report import make_record, make_study

__all__ = ["desk"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is on PATH")

DARK, LIGHT = "rgb(20, 24, 30)", "rgb(255, 255, 255)"
BROKEN = """<!doctype html><html><body><div style="width:100px"><p style="width:700px">wide</p></div>
<svg class=chart width=50 height=20><text x=30 y=15>outside</text></svg>
<img src="http://nowhere.invalid/x.png"><script>boom()</script></body></html>"""


@pytest.fixture
def pages(desk: Desk) -> dict[str, str]:
    study, run = make_study(desk), make_record(desk)
    for name, folders in {"study": [study, run], "run": [run], "runs": [run, run]}.items():
        ran = desk.statmux("report", *folders, "--out", f"{name}.html")
        assert ran.code == 0, ran.err
    return {name: (desk.folder / f"{name}.html").read_text() for name in ("study", "run", "runs")}


def test_reports_are_whole_at_every_width(pages: dict[str, str], tmp_path: Path):
    for name, width, is_dark in (
        ("study", 390, True), ("study", 1280, False), ("run", 390, False), ("runs", 390, True),
    ):  # fmt: skip
        seen = look_at(pages[name], width=width, folder=tmp_path, is_dark=is_dark)
        assert (seen.errors, seen.fetched, seen.clipped) == ([], [], []), (name, width)
        assert seen.inner == width and seen.width <= width, (name, seen)
        assert seen.ground == (DARK if is_dark else LIGHT)
        assert seen.num_charts > 0


def test_on_paper_it_is_light_and_as_wide_as_the_sheet(pages: dict[str, str], tmp_path: Path):
    paper = (
        pages["study"].replace("@media print", "@media all").replace("@media screen and", "@media speech and")
    )
    assert paper != pages["study"]
    # A4 less 14 mm on either side, at 96 pixels an inch.
    seen = look_at(paper, width=688, folder=tmp_path, is_dark=True)
    assert (seen.clipped, seen.ground) == ([], LIGHT)
    assert seen.width <= 688
    (tmp_path / "study.html").write_text(pages["study"])
    sheet = tmp_path / "study.pdf"
    run_chromium(
        [f"--print-to-pdf={sheet}", (tmp_path / "study.html").as_uri()], folder=tmp_path, window=(1280, 900)
    )
    assert sheet.read_bytes().startswith(b"%PDF")


def test_the_browser_would_see_what_is_broken(tmp_path: Path):
    seen = look_at(BROKEN, width=390, folder=tmp_path)
    assert any("boom" in error for error in seen.errors)
    assert any("wide" in one for one in seen.clipped) and any("outside" in one for one in seen.clipped)
    assert seen.fetched == ["http://nowhere.invalid/x.png"]
    assert seen.width > 390
