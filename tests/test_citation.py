"""CITATION.cff is one that tools can read, and names statmux as it is and the papers of the README."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
README = " ".join((ROOT / "README.md").read_text().split())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_it_has_the_keys_that_version_1_2_0_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(CITATION)
    assert CITATION["type"] == "software"
    assert all("name" in author or "family-names" in author for author in CITATION["authors"])
    for reference in CITATION["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert all({"family-names", "given-names"} == set(author) for author in reference["authors"])
        assert reference["type"] == "conference-paper" and isinstance(reference["year"], int)


def test_it_is_the_project_that_is_built() -> None:
    assert (CITATION["title"], CITATION["version"]) == (PROJECT["name"], PROJECT["version"])
    assert CITATION["license"] == PROJECT["license"]


def test_it_names_the_papers_of_the_readme_in_their_order() -> None:
    named = re.findall(r"- (\w+) et al\. \*([^*]+)\.\* \w+ (\d{4})\.", README)
    assert named == [
        (one["authors"][0]["family-names"], one["title"], str(one["year"])) for one in CITATION["references"]
    ]
