"""The dashboards as files: whole, told apart, and made of metrics that there are."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from controller.metric_families import catalogue
from tests.deploy.dashboards import DASHBOARDS, dashboard, metrics_named, panels, queries, rules, stripped

SOURCE = {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
# Grafana's names of the units that a quantity may have.
UNITS = {"none", "reqps", "ops", "s", "bytes", "percentunit"}
KNOWN = {family.name for family in catalogue()} | {rule["record"] for rule in rules("record")} | {"up"}


def by_name(path: Path) -> str:
    return path.stem


def test_there_is_a_dashboard_for_the_fleet_its_models_and_its_groups_each_with_its_own_uid():
    boards = [dashboard(path) for path in DASHBOARDS]
    assert {path.stem for path in DASHBOARDS} == {"statmux-fleet", "statmux-group", "statmux-model"}
    assert [board["uid"] for board in boards] == [path.stem for path in DASHBOARDS]
    assert len({board["title"] for board in boards}) == len(boards)


@pytest.mark.parametrize("path", DASHBOARDS, ids=by_name)
def test_panels_say_what_they_show_in_a_unit_from_the_source_that_was_chosen(path: Path):
    board = dashboard(path)
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["DS_PROMETHEUS"]["type"] == "datasource"
    assert {"job"} <= set(variables)
    for panel in panels(board):
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == SOURCE, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == SOURCE
            assert '$job"' in target["expr"], target["expr"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=by_name)
def test_panels_have_numbers_of_their_own_and_lie_beside_each_other(path: Path):
    board = dashboard(path)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in board["panels"]]
    for one in places:
        assert one["w"] > 0 and one["h"] > 0 and one["x"] >= 0 and one["x"] + one["w"] <= 24
    for one, other in combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)


@pytest.mark.parametrize("path", DASHBOARDS, ids=by_name)
def test_every_metric_that_a_dashboard_names_is_there(path: Path):
    for query in queries(dashboard(path)):
        named = metrics_named(query.expression)
        assert named and named <= KNOWN, (query.where, named - KNOWN)


def test_every_metric_is_on_a_dashboard_or_in_a_rule():
    shown = {
        name
        for path in DASHBOARDS
        for query in queries(dashboard(path))
        for name in metrics_named(query.expression)
    }
    ruled = {
        name for kind in ("alert", "record") for rule in rules(kind) for name in metrics_named(rule["expr"])
    }
    assert {family.name for family in catalogue()} - shown - ruled == set()


def test_every_metric_that_a_rule_names_is_there():
    for kind in ("alert", "record"):
        for rule in rules(kind):
            named = metrics_named(stripped(rule["expr"]))
            assert named and named <= KNOWN, (rule[kind], named - KNOWN)


def test_every_alert_says_what_it_is_how_bad_and_where_to_read_what_to_do():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md").read_text()
    headings = {line.strip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    names = [rule["alert"] for rule in rules("alert")]
    assert len(set(names)) == len(names)
    for rule in rules("alert"):
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        told = rule["annotations"]
        assert told["summary"] and told["description"].endswith("."), rule["alert"]
        where, _, anchor = told["runbook_url"].partition("#")
        assert where == "docs/how-to/monitor.md"
        assert anchor == rule["alert"].lower()
        assert anchor in headings, anchor
