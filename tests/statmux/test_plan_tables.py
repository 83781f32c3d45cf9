"""The tables of `statmux plan`, word for word, of placements that are given rather than searched.

`pytest tests/scheduling tests/statmux/test_plan_tables.py --rewrite` makes today's tables golden.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from placement.bound.upper import Bound
from placement.difference import difference
from placement.replan import replan
from placement.search import Found, planned
from placement.why_there import explain
from resharding.move_costs import Store
from resharding.network import Network
from statmux.options import Choices
from statmux.planning.bounding import bound_keys
from statmux.planning.document import plan_document
from statmux.planning.explaining import explanation_document, explanation_text
from statmux.planning.moving import difference_document, difference_text, replan_document, replan_text
from statmux.planning.searching import minimised_text
from statmux.planning.tables import plan_table
from statmux.render import Console
from tests.placement.fleets import deployment, model
from tests.placement.test_difference import group
from vocabulary.deployment import Slo
from vocabulary.placement import Placement
from vocabulary.trace import Trace

GOLDEN = Path(__file__).parent / "golden"
MIB = 2**20
FLEET = deployment(
    model("chat", 60 * MIB, slo=Slo(0.5, attainment=0.9)),
    model("search", 40 * MIB),
    model("tags", 30 * MIB, slo=Slo(0.15)),
    num_hosts=2,
    num_devices=2,
    memory_bytes=100 * MIB,
)
OLD = Placement((group("g0", "0.0", "search"), group("g1", "1.0 1.1", "chat", "tags", pipeline=2)))
NEW = Placement((
    group("g0", "0.0", "chat", "search"), group("g1", "0.1", "tags"),
    group("g2", "1.0 1.1", "chat", "tags", pipeline=2),
))  # fmt: skip
SLOW = Network(nic_bytes_per_s=10 * MIB, intra_bytes_per_s=1e9, latency_s=0.001)
STORE = Store(host_bytes_per_s=5 * MIB)


def traffic() -> Trace:
    """Steady requests for all, and a burst for chat in the tenth second."""
    arrival_s = np.sort(np.r_[np.arange(0, 20, 0.25), np.full(12, 10.0)])
    index = np.arange(len(arrival_s), dtype=np.int32) % 3
    index[(arrival_s == 10.0)] = 0
    return Trace(arrival_s, index, FLEET.model_names)


def document(placement: Placement, **more: Any) -> dict[str, Any]:
    found = Found(placement, "by hand", 120, 0.5, True, num_simulated=11_040, overfit_gap=0.0123)
    made = replace(planned(found, FLEET, traffic()), inputs={"trace": {"file": "t.csv", "sha256": "ab" * 32}})
    tested = dict(made.predicted) if more.pop("has_test", False) else None
    return plan_document(made, FLEET, traffic(), tested=tested, found=found, out=None) | more


def check(name: str, text: str, request: pytest.FixtureRequest) -> None:
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite", default=False):
        path.write_text(f"{text}\n")
    assert text == path.read_text().rstrip("\n"), f"if the new words are right, rewrite {path}"


def test_a_plan(request: pytest.FixtureRequest) -> None:
    check("plan", plan_table(document(NEW)), request)


def test_a_plan_beside_its_references(request: pytest.FixtureRequest) -> None:
    bounds = {
        "bound": 0.95,
        "bound_gap": 0.05,
        "bound_seconds": 2.5,
        "bound_is_exact": False,
        "bound_why_not": "the budget ended first",
        "attainment_without_memory": 0.93,
        "layout_without_memory": "4 x (tensor 1, pipeline 1)",
    }
    check("plan_bound", plan_table(document(NEW, has_test=True, **bounds)), request)


def test_an_explanation(request: pytest.FixtureRequest) -> None:
    found = explain("chat", OLD, traffic(), deployment=FLEET)
    check("explain", explanation_text(explanation_document(found, estimated=False)), request)


def test_an_explanation_of_a_model_without_a_place(request: pytest.FixtureRequest) -> None:
    nowhere = Placement((group("g0", "0.0", "search"),))
    found = explain("tags", nowhere, traffic(), deployment=FLEET)
    check("explain_nowhere", explanation_text(explanation_document(found, estimated=True)), request)


def test_what_moves(request: pytest.FixtureRequest) -> None:
    found = difference(OLD, NEW, deployment=FLEET, network=SLOW, store=STORE)
    check("difference", difference_text(difference_document(found, old="old.yaml")), request)


def test_what_moves_where_groups_open_and_close(request: pytest.FixtureRequest) -> None:
    later = Placement((group("g0", "0.0 0.1", "search", "chat", pipeline=2),))
    found = difference(OLD, later, deployment=FLEET, network=SLOW, store=STORE)
    check("difference_groups", difference_text(difference_document(found, old="old.yaml")), request)


def test_whether_to_move(request: pytest.FixtureRequest) -> None:
    for name, horizon_s in (("replan_moves", 3600.0), ("replan_stays", 5.0)):
        found = replan(
            OLD, FLEET, traffic(), horizon_s=horizon_s, network=SLOW, store=STORE, proposals={"search": NEW}
        )
        text = replan_text(replan_document(found, horizon_s=horizon_s, old="old.yaml"))
        check(name, text, request)


def test_what_was_tried_for_the_smallest_cluster(request: pytest.FixtureRequest) -> None:
    tried = [
        {"num_devices": 4, "rate_scale": 1.0, "slo_attainment": 0.995, "holds": True, "used": 4.0,
         "seconds": 1.25, "infeasible": None},
        {"num_devices": 2, "rate_scale": 1.0, "slo_attainment": 0.0, "holds": False, "used": None,
         "seconds": 0.5, "infeasible": "no model fits"},
    ]  # fmt: skip
    found = {
        "objective": "min_devices",
        "value": 4.0,
        "required": "99.00% of all requests within their SLO",
        "is_monotone": True,
        "is_complete": False,
        "is_at_limit": False,
        "tried": tried,
    }
    check("minimised", minimised_text(found), request)
    fastest = found | {"objective": "max_rate_scale", "value": 64.0, "is_at_limit": True}
    assert minimised_text(fastest).startswith("no traffic that was tried is too fast, the fastest 64 times")


def test_a_bound_below_the_plan_is_never_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    bound = Bound(0.9, 1.0, 3, 0.1, 4, 5, True, "")
    found = bound_keys(bound, 0.95, console=Console(Choices()))
    assert found["bound_gap"] == pytest.approx(-0.05)
    assert "0.900000, is below what the plan attains, 0.950000" in capsys.readouterr().err
    assert bound_keys(bound, 0.9, console=Console(Choices()))["bound_gap"] == 0.0
    assert capsys.readouterr().err == ""
