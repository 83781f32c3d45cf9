"""A page as headless Chromium lays it out: errors, what is fetched, what is wider than its place.

Driven by its command line. A page of ours holds the report in a frame of the wanted width (windows have a
least width, frames none), measures it when it is loaded, and writes what it found into itself.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
_TIMEOUT_S = 120
_MEASURE = """
window.errors = [];
function measure() {
  const view = frame.contentWindow, page = view.document, clipped = [];
  for (const one of page.querySelectorAll('details')) one.open = true;
  const words = one => one.textContent.trim().slice(0, 40);
  const named = one => `${one.tagName}.${one.getAttribute('class') || ''} ${words(one)}`;
  for (const one of page.body.querySelectorAll('*:not(svg *)')) {
    const look = view.getComputedStyle(one), wide = one.scrollWidth, high = one.scrollHeight;
    const scrolls = ['auto', 'scroll'].includes(look.overflowX);
    if (!one.clientWidth || look.display.startsWith('inline') || scrolls) continue;
    if (wide > one.clientWidth + 1) clipped.push(`${named(one)}: ${wide} in ${one.clientWidth}`);
    if (look.overflowY === 'hidden' && high > one.clientHeight + 1) clipped.push(`${named(one)}: too high`);
  }
  for (const text of page.querySelectorAll('svg text')) {
    const its = text.getBoundingClientRect(), all = text.closest('svg').getBoundingClientRect();
    const aside = Math.max(all.left - its.left, its.right - all.right);
    const over = Math.max(aside, all.top - its.top, its.bottom - all.bottom);
    if (its.width && over > 2) clipped.push(`svg text ${text.textContent}: ${over.toFixed(1)} outside`);
  }
  found.textContent = JSON.stringify({
    inner: view.innerWidth, width: page.documentElement.scrollWidth, clipped, errors,
    fetched: view.performance.getEntriesByType('resource').map(one => one.name),
    ground: view.getComputedStyle(page.body).backgroundColor,
    num_charts: page.querySelectorAll('svg.chart').length,
  });
}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """`clipped` names what is wider or higher than its place; `errors` are of scripts and of the console."""

    inner: int
    width: int
    clipped: list[str]
    errors: list[str]
    fetched: list[str]
    ground: str
    num_charts: int


def look_at(page: str, *, width: int, folder: Path, is_dark: bool = False) -> Seen:
    """Lay `page` out `width` pixels wide, with all that is folded opened."""
    tell = "parent.errors.push(e.message || 'not loaded')"
    catch = f"<script>addEventListener('error', e => {tell}, true);</script>"
    # After the declaration, which would otherwise not be the first thing and be ignored.
    inner = re.sub(r"(<!doctype html>)", lambda found: found[1] + catch, page, count=1, flags=re.IGNORECASE)
    wrapper = folder / "wrapper.html"
    wrapper.write_text(
        f"<!doctype html><meta charset=utf-8><pre id=found></pre><script>{_MEASURE}</script>"
        f'<iframe id=frame onload=measure() style="width:{width}px;height:800px;border:0" '
        f'srcdoc="{html.escape(inner)}"></iframe>'
    )
    flags = ["--dump-dom", "--enable-logging=stderr", *dark_flags(is_dark)]
    ran = run_chromium([*flags, wrapper.as_uri()], folder=folder, window=(max(width, 500) + 40, 900))
    written = re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.DOTALL)
    assert written and written[1], f"nothing was measured: {ran.stderr[-2000:]}"
    found = json.loads(html.unescape(written[1]))
    found["errors"] += re.findall(r"CONSOLE[^\n]*", ran.stderr)
    return Seen(**found)


def dark_flags(is_dark: bool) -> list[str]:
    """Chromium's number of what a user prefers: 0 dark, 1 light."""
    return [f"--blink-settings=preferredColorScheme={0 if is_dark else 1}"]


def run_chromium(
    flags: list[str], *, folder: Path, window: tuple[int, int]
) -> subprocess.CompletedProcess[str]:
    """One start, without network, with a profile of its own that is thrown away with the folder."""
    assert CHROMIUM is not None
    own = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
        f"--window-size={window[0]},{window[1]}",
    ]  # fmt: skip
    return subprocess.run(
        [CHROMIUM, *own, *flags], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
    )
