"""The site of docs/ builds without a warning, with every page in its navigation, and asks no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a browser loads by itself: scripts, styles, pictures, fonts. Links that a reader clicks on are not.
LOADED = re.compile(r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)")
LINKED = re.compile(r"<link\b[^>]*?\brel=[\"']?(\w[\w-]*)[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)")
IN_STYLE = re.compile(r"(?:@import\s*|url\()\s*[\"']?((?:https?:)?//[^\"')\s]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a broken link or anchor, or a page that no menu has, is an error."""
    if find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_site_builds_strictly_and_has_every_page(site: Path) -> None:
    pages = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    expected = [
        page.with_name("index.html" if page.name == "README.md" else f"{page.stem}.html") for page in pages
    ]
    assert not [str(page) for page in expected if not (site / page).exists()]


def test_what_pages_link_to_outside_of_docs_is_in_the_site(site: Path) -> None:
    assert (site / "source" / "README.html").exists() or (site / "source" / "index.html").exists()
    assert (
        "service GRPCInferenceService" in (site / "source/controller/proto/inference.proto.html").read_text()
    )


def test_nothing_is_loaded_from_other_hosts(site: Path) -> None:
    found = set()
    for path in site.rglob("*.html"):
        text = path.read_text()
        found |= {(path.name, address) for address in LOADED.findall(text) + IN_STYLE.findall(text)}
        found |= {
            (path.name, address)
            for kind, address in LINKED.findall(text)
            if kind not in ("canonical", "next")
        }
    for path in site.rglob("*.css"):
        found |= {(path.name, address) for address in IN_STYLE.findall(path.read_text())}
    assert not found
