"""The page's own files, as they lie in the package: read once, told by their content, the same for all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

FOLDER = "page"
INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """tag: an ETag, equal for equal content."""

    content: bytes
    media_type: str
    tag: str


@cache
def page_files() -> Mapping[str, PageFile]:
    """By name. Everything in the folder is a file of the page."""
    folder = resources.files("controller.live").joinpath(FOLDER)
    return {one.name: _file(one.name, one.read_bytes()) for one in folder.iterdir() if one.is_file()}


def _file(name: str, content: bytes) -> PageFile:
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return PageFile(content, _TYPES[name.rpartition(".")[2]], tag)
