"""The pictures of docs/how-to/live-page.md: `python -m tests.controller.live.pictures docs/pictures`.

What they show is the story of the page's tests: emulated models in virtual time, and a host that dies.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.chromium import CHROMIUM, MISSING, Tab, open_tab
from tests.controller.live.story import Story, Traffic
from tests.controller.live.story_server import HURRY, Told, of_story, serving

NUM_DOCUMENTS = 34


def draw(folder: Path) -> None:
    """Four PNGs: all well and not, on a desk and on a phone, by day and by night."""
    with tempfile.TemporaryDirectory(prefix="live-") as scratch:
        story = Story(Path(scratch))
        story.advance(90.0)
        with serving(of_story(story)) as told, open_tab() as tab:
            tab.before_scripts(HURRY)
            tab.look(width=1440)
            tab.open(told.address)
            _take(tab, told, folder / "live-desk-day.png", folder / "live-phone-day.png", is_dark=False)
            story.lose("g3", "g4", why="host gpu-2 does not answer")
            story.traffic["detect"] = Traffic(18.0, 3.0)
            _take(tab, told, folder / "live-desk-night.png", folder / "live-phone-night.png", is_dark=True)
        story.close()


def _take(tab: Tab, told: Told, desk: Path, phone: Path, *, is_dark: bool) -> None:
    told.step_s, end = 2.0, told.num + NUM_DOCUMENTS
    tab.until_is(lambda: told.num >= end, what="a minute")
    # What is drawn stands nearly still meanwhile.
    told.step_s = 0.01
    tab.look(width=1440, is_dark=is_dark)
    tab.picture(desk, is_whole=True)
    _shrink(desk)
    tab.look(width=390, height=844, is_dark=is_dark, scale=2.0)
    tab.picture(phone)
    _shrink(phone)


def _shrink(path: Path) -> None:
    """The page has few colours: a palette of them takes a third."""
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    if CHROMIUM is None:
        sys.exit(MISSING)
    draw(Path(sys.argv[1]))
