"""docs/reference/control.md names every verb of the control socket, and every column of the journal."""

from __future__ import annotations

import re
from pathlib import Path

from controller.journal import RequestLine
from controller.journal.explaining import REPLICA_KINDS
from controller.journal.read import PLAN_KINDS
from controller.journal.storage import TABLES
from controller.verbs.apply_verb import ApplyVerb
from controller.verbs.fleet_verbs import FleetVerbs
from controller.verbs.look_verbs import LookVerbs

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "control.md").read_text()


def named(names: set[str]) -> set[str]:
    return {name for name in names if f"`{name}`" in TEXT}


def test_every_table_and_column_is_named():
    names = set(re.findall(r"CREATE TABLE (\w+)", TABLES)) | set(RequestLine.__struct_fields__)
    names |= {"kind", "words", "key", "document"}
    assert named(names) == names


def test_every_kind_of_event_that_is_looked_for_is_named():
    names = {*PLAN_KINDS, *REPLICA_KINDS}
    assert named(names) == names


def test_every_verb_is_named():
    names = {"status", "stop"}
    for kind in (ApplyVerb, FleetVerbs, LookVerbs):
        # What a verb's method is called is not what it is called by; asking needs none of its collaborators.
        names |= set(kind.by_name(object.__new__(kind)))
    assert {"load", "preview", "explain"} <= names
    assert named(names) == names
