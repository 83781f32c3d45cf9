"""The live page as people have it: on a phone and a desk, by night and day, when all is well and when not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from controller.tenants import tenants_of
from tests.chromium import Tab
from tests.controller.live.looking import WATCH_SHIFTS, clipped, pale, roles, small_targets
from tests.controller.live.story import Story, Traffic
from tests.controller.live.story_server import HURRY, STEP_S, Recording, Told, serving
from vocabulary.security import Security, TokenSpec

SCREENS = [(390, True), (390, False), (768, False), (1440, True), (1440, False)]


@dataclass(frozen=True, slots=True)
class Fleet:
    """play: what it tells, of `well` and then of `worse`."""

    play: Recording
    told: Told


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """A quiet half minute; another in which a host is gone and detect is asked for more than it can do."""
    story = Story(tmp_path_factory.mktemp("live"))
    story.advance(6.0)
    well = [_later(story) for _ in range(12)]
    story.lose("g3", "g4", why="host gpu-2 does not answer")
    story.traffic["detect"] = Traffic(30.0, 3.0)
    worse = [_later(story) for _ in range(14)]
    story.close()
    return {"well": well, "worse": worse}


def _later(story: Story) -> dict[str, Any]:
    story.advance(STEP_S)
    return story.document()


@pytest.fixture(scope="module")
def fleet(parts: dict[str, list[dict[str, Any]]]) -> Iterator[Fleet]:
    play = Recording(parts, "well")
    with serving(play) as told:
        yield Fleet(play, told)


@pytest.fixture(scope="module")
def page(tab: Tab, fleet: Fleet) -> Tab:
    """Open, and in a hurry."""
    tab.before_scripts(HURRY + WATCH_SHIFTS)
    tab.look(width=1440)
    tab.open(fleet.told.address)
    return tab


def pass_by(page: Tab, fleet: Fleet, documents: int) -> None:
    """Let the page hear so many more."""
    # The first of them may have been made before the page was as it is now, and the last must be shown.
    end = fleet.told.num + documents + 2
    page.until_is(lambda: fleet.told.num >= end, what=f"{documents} documents")


def text(page: Tab, selector: str) -> str:
    return page.value(f"document.querySelector({selector!r}).innerText").replace("\u202f", " ")


def texts(page: Tab, selector: str) -> list[str]:
    found = page.value(f"[...document.querySelectorAll({selector!r})].map(one => one.innerText)")
    return [one.replace("\u202f", " ") for one in found]


def check_looks(page: Tab) -> None:
    for width, is_dark in SCREENS:
        page.look(width=width, is_dark=is_dark)
        assert (clipped(page), pale(page), small_targets(page)) == ([], [], []), (width, is_dark)
        ground = page.value("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(15, 19, 24)" if is_dark else "rgb(246, 247, 249)")


def test_when_all_is_well_it_says_so_and_fits_every_screen(page: Tab, fleet: Fleet) -> None:
    pass_by(page, fleet, 8)
    page.until("document.querySelectorAll('#models tbody').length === 6")
    assert text(page, "#state") == "● ready"
    assert text(page, "#headline") == "All is well: all 6 models are as planned"
    assert texts(page, "#problems li") == []
    assert len(texts(page, ".tile")) == 12 and len(texts(page, "#groups tbody")) == 5
    assert "chat-8b" in text(page, "#models") and "first token" in text(page, "#models")
    check_looks(page)
    assert page.errors == []
    assert {one.split("/")[2] for one in page.fetched} == {fleet.told.address.removeprefix("http://")}


def test_nothing_moves_while_numbers_change(page: Tab, fleet: Fleet) -> None:
    for width in (390, 1440):
        page.look(width=width)
        pass_by(page, fleet, 2)
        page.value("window.settled()")
        before = text(page, "#figures")
        pass_by(page, fleet, 10)
        assert text(page, "#figures") != before
        assert page.value("window.shifts") == []


def test_what_is_read_out_has_no_numbers_that_tick(page: Tab, fleet: Fleet) -> None:
    page.value(
        "window.said = 0; new MutationObserver(() => window.said++)"
        ".observe(document.getElementById('headline'), {childList: true, characterData: true, subtree: true})"
    )
    pass_by(page, fleet, 5)
    assert page.value("window.said") == 0


def test_a_screen_reader_is_told_of_tables_also_on_a_phone(page: Tab) -> None:
    for width in (390, 1440):
        page.look(width=width)
        told = roles(page)
        assert {("heading", "Problems"), ("navigation", "Sections")} <= set(told)
        assert {"banner", "main", "contentinfo", "status"} <= {role for role, _ in told}
        headings = [name for role, name in told if role == "heading"]
        assert headings[0] == "night-shift" and any(one.startswith("Models") for one in headings)
        assert sum(role == "table" for role, _ in told) == 3
        assert [name for role, name in told if role == "columnheader"][:2] == ["Model", "Attainment"]
        names = [name for role, name in told if role == "rowheader"]
        assert any("chat-8b" in name and "good" in name for name in names)
        assert ("button", "Theme: system") in told


def test_all_can_be_done_with_a_keyboard(page: Tab) -> None:
    page.look(width=1440)
    page.value("document.activeElement.blur(), window.scrollTo(0, 0)")
    page.press("Tab", number=9)
    assert page.value("document.activeElement.className") == "skip"
    assert page.value("document.activeElement.getBoundingClientRect().left") >= 0
    page.value("document.getElementById('theme').focus()")
    outline = page.value("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for name, ground in (("light", "rgb(246, 247, 249)"), ("dark", "rgb(15, 19, 24)"), ("system", None)):
        page.press("Enter", number=13, text="\r")
        assert page.value("document.getElementById('theme').ariaLabel") == f"Theme: {name}"
        found = page.value("getComputedStyle(document.body).backgroundColor")
        assert ground is None or found == ground


def test_what_is_worst_comes_first(page: Tab, fleet: Fleet) -> None:
    fleet.play.go_on("worse")
    page.look(width=390)
    pass_by(page, fleet, 14)
    problems = texts(page, "#problems li div")
    assert problems[:2] == [f"Group {one} is lost: host gpu-2 does not answer." for one in ("g3", "g4")]
    assert problems[2].startswith("speech Not served")
    assert any(one.startswith("detect Below its objective of 97.0 %.") for one in problems[3:])
    assert "problems" in text(page, "#headline") and text(page, "#state") == "✕ degraded"
    assert page.value("document.title").startswith("(")
    models = texts(page, "#models tbody .main .name")
    assert models[0] == "speech" and models.index("detect") < models.index("chat-8b")
    assert texts(page, "#groups tbody .name")[:2] == ["g3", "g4"]
    assert "slo infeasible" in text(page, "#refused") and "speech" in text(page, "#refused")
    assert "Group g4 was lost: host gpu-2 does not answer" in texts(page, "#decisions li")[0]
    check_looks(page)
    assert page.errors == []


def test_a_problem_leads_to_its_model(page: Tab) -> None:
    page.look(width=390, height=800)
    page.value("document.querySelector('#problems a').click()")
    page.until("location.hash === '#model-speech'")
    top = page.value("document.getElementById('model-speech').getBoundingClientRect().top")
    bar = page.value("document.querySelector('.top').getBoundingClientRect().bottom")
    assert bar <= top < 700


def test_earlier_decisions_are_shown_when_asked_for(page: Tab) -> None:
    page.look(width=1440)
    num = len(texts(page, "#decisions li"))
    page.value("document.getElementById('more').click()")
    assert len(texts(page, "#decisions li")) > num
    assert page.value("document.getElementById('more').ariaExpanded") == "true"
    page.value("document.getElementById('more').click()")
    assert len(texts(page, "#decisions li")) == num


def test_draining_is_said_before_all_else(page: Tab, fleet: Fleet) -> None:
    fleet.told.changed = lambda document: {**document, "state": "draining"}
    page.until("document.getElementById('state').textContent === '▲ draining'")
    assert text(page, "#headline").startswith("The fleet is draining")
    fleet.told.changed = lambda document: document


def test_another_version_of_the_document_asks_for_a_reload(page: Tab, fleet: Fleet) -> None:
    fleet.told.changed = lambda document: {**document, "schema_version": 99}
    page.until("!document.getElementById('gone').hidden")
    assert "load this page again" in text(page, "#gone")
    fleet.told.changed = lambda document: document
    page.until("document.getElementById('gone').hidden")


def test_an_error_of_the_server_is_shown_in_its_words_and_the_last_values_stay(
    page: Tab, fleet: Fleet
) -> None:

    def broken(document: dict[str, Any]) -> dict[str, Any]:
        raise RuntimeError("the story breaks off")

    fleet.told.changed = broken
    page.look(width=390, is_dark=True)
    page.until("!document.getElementById('gone').hidden")
    assert "internal error" in text(page, "#gone")
    assert len(texts(page, "#models tbody .main")) == 6
    check_looks(page)
    fleet.told.changed = lambda document: document
    page.until("document.getElementById('gone').hidden")
    page.errors.clear()


def test_when_nobody_answers_it_says_since_when_and_finds_the_fleet_again(
    tab: Tab, parts: dict[str, list[dict[str, Any]]]
) -> None:
    with serving(Recording(parts, "well")) as told:
        tab.open(told.address)
        tab.until("document.getElementById('state').textContent === '● ready'")
        port = int(told.address.rpartition(":")[2])
    tab.until("!document.getElementById('gone').hidden")
    assert text(tab, "#gone").startswith("✕ No answer since ")
    assert "What is shown is as of then" in text(tab, "#gone")
    assert tab.value("document.documentElement.hasAttribute('data-stale')")
    assert len(texts(tab, "#models tbody .main")) == 6
    with serving(Recording(parts, "well"), port=port):
        tab.until("document.getElementById('gone').hidden")
        assert not tab.value("document.documentElement.hasAttribute('data-stale')")
    tab.errors.clear()


def test_a_hidden_page_asks_for_nothing(tab: Tab, fleet: Fleet) -> None:
    tab.open(fleet.told.address)
    pass_by(tab, fleet, 2)
    hide = "Object.defineProperty(document, 'visibilityState', {value: '%s', configurable: true}),"
    tell = "document.dispatchEvent(new Event('visibilitychange'))"
    tab.value(hide % "hidden" + tell)
    # One may be on its way, and one more wait.
    tab.value("new Promise(done => setTimeout(done, 6000))")
    num = fleet.told.num
    tab.value("new Promise(done => setTimeout(done, 10000))")
    assert fleet.told.num == num
    tab.value(hide % "visible" + tell)
    pass_by(tab, fleet, 2)


def test_where_a_token_is_needed_it_is_asked_for_and_kept_in_the_tab(
    tab: Tab, parts: dict[str, list[dict[str, Any]]]
) -> None:
    tokens = tuple(
        TokenSpec(name, "", secret_env=name, scopes=(scope,))
        for name, scope in (("READER", "metrics"), ("APP", "infer"))
    )
    secrets = {"READER": "reader-secret-1", "APP": "app-secret-22"}
    tenants = tenants_of(Security(auth="token", tokens=tokens), folder=".", environment=secrets)
    with serving(Recording(parts, "well"), tenants=tenants) as told:
        tab.look(width=390, is_dark=True)
        tab.open(told.address)
        tab.until("!document.getElementById('door').hidden")
        assert (clipped(tab), pale(tab)) == ([], [])
        assert tab.value("document.activeElement.id") == "token"
        for secret, words in (("wrong", "does not know this token"), (secrets["APP"], "needs the scope")):
            tab.write(secret)
            tab.press("Enter", number=13, text="\r")
            tab.until(f"document.getElementById('door-words').textContent.includes({words!r})")
            assert tab.value("sessionStorage.length") == 0
        tab.write(secrets["READER"])
        tab.press("Enter", number=13, text="\r")
        tab.until(
            "document.getElementById('door').hidden && document.querySelectorAll('#models tbody').length"
        )
        assert text(tab, "#state") == "● ready"
        tab.open(f"{told.address}/?again")
        tab.until("document.querySelectorAll('#models tbody').length")
        assert tab.value("localStorage.length") == 0
        assert not [one for one in tab.fetched if "secret" in one]
    tab.errors.clear()
