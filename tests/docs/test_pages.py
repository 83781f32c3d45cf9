"""Generated pages leave nothing out, and explanations give the figures of the scripts that they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.calls import Reason
from docs.generators import cli, deployment_file, endpoints, errors, exit_codes
from docs.pictures.multiplexing import attainments
from statmux.main import VERBS
from vocabulary.errors import StatmuxError
from vocabulary.formats.schema import schema

DOCS = Path(__file__).parents[2] / "docs"
EXPLANATION = DOCS / "explanation"
FIGURE = re.compile(r"(?<![\w.])\d*\.\d+(?![\w.])")
LINK = re.compile(r"\]\([^)]*\)")
# Of `python -m docs.pictures.sharing`, checked below.
SCRIPTED = frozenset({"39.8", "79.8"})


def test_every_key_of_a_deployment_says_what_it_means() -> None:
    keys = list(deployment_file.keys())
    assert len(keys) > 150
    assert not [key.path for key in keys if not key.field.description]


def test_the_schema_says_it_too() -> None:
    shapes = schema("deployment")["$defs"]
    assert "arrival" in shapes["SloShape"]["properties"]["latency_ms"]["description"]


def test_every_verb_has_a_section_and_only_verbs_have_exit_codes() -> None:
    page = cli.page()
    names = {name for name, _ in cli.commands()}
    assert {name.split()[0] for name in names} == set(VERBS)
    assert not [name for name in names if f"\n## statmux {name}\n" not in page]
    assert set(cli.EXITS) <= set(VERBS)
    known = {kind.exit_code for kind in StatmuxError.__subclasses__()}
    assert {code for codes in cli.EXITS.values() for code in codes} <= known


def test_every_exit_code_has_a_row() -> None:
    codes = {StatmuxError.exit_code, *(kind.exit_code for kind in StatmuxError.__subclasses__())}
    assert codes | {0, 130, 143} == set(exit_codes.ROWS)


def test_every_reason_is_told_with_what_to_do() -> None:
    advices = {reason: errors.advice(reason) for reason in Reason}
    assert advices[Reason.SLO_INFEASIBLE] == advices[Reason.INVALID_TENSOR] == "no"
    assert advices[Reason.QUEUE_FULL] == "later (1 s)"
    assert advices[Reason.LOST] == "if twice is harmless"
    assert not [reason.value for reason in Reason if f"| `{reason.value}` |" not in errors.page()]


def test_every_route_is_told_with_its_scope() -> None:
    rows = [endpoints.route_row(route) for route in endpoints.routes()]
    assert ["POST", "`/v1/chat/completions`", "`infer`"] in rows
    assert ["GET", "`/readyz`", "open"] in rows
    assert ["POST", "`/admin/v1/drain`", "`admin`"] in rows
    assert ["GET", "`/live/document`", "`metrics`, `admin`"] in rows


def test_the_figures_of_statistical_multiplexing_are_the_scripts() -> None:
    text = " ".join((EXPLANATION / "statistical-multiplexing.md").read_text().split())
    apart, shared = attainments(rate_rps=1.5, cv=6.0)
    assert f"at CV 6 {apart:.1%} and {shared:.1%}" in text
    apart, shared = attainments(rate_rps=4.0, cv=1.0)
    assert f"4 requests/s for each model {apart:.1%} and {shared:.1%}" in text
    apart, _ = attainments(rate_rps=6.0, cv=1.0)
    assert f"6 requests/s {apart:.1%}" in text


@pytest.mark.parametrize("page", sorted(EXPLANATION.glob("*.md")), ids=lambda page: page.name)
def test_every_figure_of_an_explanation_was_measured(page: Path) -> None:
    sources = [DOCS / "measurements.md", *(DOCS / "decisions").glob("0*.md")]
    known = {float(figure) for source in sources for figure in FIGURE.findall(source.read_text())}
    figures = set(FIGURE.findall(LINK.sub("", page.read_text()))) - SCRIPTED
    assert not sorted(figure for figure in figures if not is_rounded(figure, known))


def is_rounded(figure: str, known: set[float]) -> bool:
    """Whether it is one of those that are known, rounded, perhaps as a percentage."""
    digits = len(figure.partition(".")[2])
    wanted = f"{float(figure):.{digits}f}"
    return any(wanted in (f"{one:.{digits}f}", f"{one * 100:.{digits}f}") for one in known)
