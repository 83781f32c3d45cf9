"""A hook of mkdocs: what pages link to outside of docs/ is shown in the site, under source/.

So one relative link works on GitHub, in an editor and in the site, which need not know where the repository
is. Markdown files become pages, other texts a page with their text, folders a page with what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[2]
DOCS = "docs"
SHOWN = "source"
# A link or a picture of Markdown with its target; and what is code, which is left alone.
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
CODE = re.compile(r"^(```+|~~~+)\w*.*?^\1$|`[^`\n]+`", re.M | re.S)
COMMENT = re.compile(r"\A\s*<!--.*?-->\s*", re.S)
INDEX = "README.md"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".sh": "sh", ".toml": "toml"}


def on_files(files: Files, config: Any) -> Files:
    """Adds a page for everything outside of docs/ that a page links to, or that such a page links to."""
    waiting = [f"{DOCS}/{file.src_uri}" for file in files.documentation_pages()]
    seen = set()
    while waiting:
        page = waiting.pop()
        for target in set(outside_of(page, (ROOT / page).read_text())) - seen:
            seen.add(target)
            files.append(_added(target, config))
            if target.endswith(".md"):
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Makes the links of a page those of the site."""
    shown = PurePosixPath(page.file.src_uri)
    is_outside = shown.parts[0] == SHOWN and page.file.generated_by == "statmux"
    origin = origin_of(shown) if is_outside else f"{DOCS}/{shown}"
    # mkdocs takes a heading for the title only where nothing is before it.
    return with_links(COMMENT.sub("", markdown), origin, str(shown))


def with_links(text: str, origin: str, shown: str) -> str:
    """The text of the file `origin` of the repository with links from the page `shown` of the site."""

    def replaced(found: re.Match[str]) -> str:
        opening, target, anchor, closing = found.groups(default="")
        path = path_of(origin, target)
        if path is None:
            return found[0]
        return f"{opening}{relpath(page_of(path), str(PurePosixPath(shown).parent))}{anchor}{closing}"

    return "".join(piece if is_code else LINK.sub(replaced, piece) for is_code, piece in pieces_of(text))


def pieces_of(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, with whether each is code."""
    end = 0
    for found in CODE.finditer(text):
        yield False, text[end : found.start()]
        yield True, found[0]
        end = found.end()
    yield False, text[end:]


def outside_of(origin: str, text: str) -> Iterator[str]:
    """Paths that the file of the repository links to and that are no page of docs/."""
    for is_code, piece in pieces_of(text):
        targets = [] if is_code else [found[2] for found in LINK.finditer(piece)]
        for path in filter(None, (path_of(origin, target) for target in targets)):
            if page_of(path).startswith(f"{SHOWN}/"):
                yield path


def path_of(origin: str, target: str) -> str | None:
    """What a relative link of the file `origin` leads to, from the root; None if none or broken.

    Broken ones stay as they are: mkdocs tells of them.
    """
    if re.match(r"[a-z]+:|/", target):
        return None
    path = normpath(f"{PurePosixPath(origin).parent}/{target}")
    return path if (ROOT / path).exists() and not path.startswith("..") else None


def page_of(path: str) -> str:
    """The page of the site for a path of the repository."""
    if path == DOCS:
        return "index.md"
    if path.startswith(f"{DOCS}/") and not path.endswith(".py"):
        inside = path.removeprefix(f"{DOCS}/")
        return f"{inside}/{INDEX}" if (ROOT / path).is_dir() else inside
    return f"{SHOWN}/{path}" if path.endswith(".md") else f"{SHOWN}/{path}.md"


def origin_of(shown: PurePosixPath) -> str:
    """The path of the repository that is shown by a page below source/."""
    path = str(shown.relative_to(SHOWN))
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def _added(path: str, config: Any) -> File:
    file = File.generated(config, page_of(path), content=text_of(path), inclusion=InclusionLevel.NOT_IN_NAV)
    file.generated_by = "statmux"
    return file


def text_of(path: str) -> str:
    """What the page of a file or folder of the repository says."""
    found = ROOT / path
    if path.endswith(".md"):
        return found.read_text()
    if found.is_dir():
        names = sorted(f"{one.name}{'/' * one.is_dir()}" for one in found.iterdir() if is_told(one))
        return f"# {path}/\n\n" + "".join(f"- `{name}`\n" for name in names)
    language = LANGUAGES.get(found.suffix, "text")
    return f"# {path}\n\n````{language}\n{found.read_text()}\n````\n"


def is_told(path: Path) -> bool:
    """Whether a file of a folder is one of ours."""
    return not path.name.startswith((".", "__"))
