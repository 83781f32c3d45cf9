"""What the site makes of links that leave docs/, of tables, and of the rest of a folder."""

from __future__ import annotations

from pathlib import Path

from docs.generators.outside_pages import page_of, path_of, text_of, with_links
from docs.generators.rest_of_folders import filled
from docs.generators.stacked_tables import marked


def test_a_link_that_leaves_docs_leads_to_a_page_that_shows_the_file() -> None:
    text = "see [the README](../../README.md#status) and [the make file](../../Makefile)"
    shown = with_links(text, "docs/how-to/place.md", "how-to/place.md")
    assert shown == "see [the README](../source/README.md#status) and [the make file](../source/Makefile.md)"
    assert "```text" in text_of("Makefile")


def test_a_shown_file_links_back_into_the_site() -> None:
    text = (
        "[glossary](docs/glossary.md), [decisions](docs/decisions/), ![idea](docs/pictures/multiplexing.svg)"
    )
    shown = with_links(text, "README.md", "source/README.md")
    assert shown == (
        "[glossary](../glossary.md), [decisions](../decisions/README.md), "
        "![idea](../pictures/multiplexing.svg)"
    )


def test_code_anchors_and_other_hosts_are_left_alone() -> None:
    text = "`[a](../README.md)` [b](#here) [c](https://example.org/x.md)\n```md\n[d](../README.md)\n```\n"
    assert with_links(text, "docs/index.md", "index.md") == text


def test_a_broken_link_stays_for_the_build_to_tell() -> None:
    assert path_of("docs/index.md", "../nothing-here.md") is None
    assert with_links("[a](../nothing-here.md)", "docs/index.md", "index.md") == "[a](../nothing-here.md)"
    assert path_of("docs/index.md", "../../outside-of-the-repository") is None


def test_scripts_below_docs_are_shown_as_files() -> None:
    assert page_of("docs/pictures/multiplexing.py") == "source/docs/pictures/multiplexing.py.md"


def test_a_folder_is_shown_with_what_is_in_it() -> None:
    assert "- `examples/`" in text_of("deploy")


def test_cells_know_their_head() -> None:
    heads = "<thead><tr><th>key</th><th>a <code>b</code></th></tr></thead>"
    table = f"<table>{heads}<tr><td>1</td><td>2</td></tr></table>"
    assert "<table data-rows>" in marked(table)
    assert '<td data-head="key">1</td><td data-head="a b">2</td>' in marked(table)


def test_pages_that_nothing_names_come_at_the_end_of_their_folder(tmp_path: Path) -> None:
    for name in ("how-to/a.md", "how-to/b.md", "how-to/c.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# x\n")
    nav = [{"How-to": ["how-to/b.md", "how-to/*"]}, {"Tutorials": ["tutorials/*"]}]
    assert filled(nav, tmp_path, {"how-to/b.md"}) == [
        {"How-to": ["how-to/b.md", "how-to/a.md", "how-to/c.md"]}
    ]
