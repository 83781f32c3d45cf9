"""What the journal has of calls that nobody may make."""

from __future__ import annotations

import time

import pytest

from controller.calls import Reason, Refusal
from controller.journal import Journal
from controller.journal.read import JournalFile
from controller.metrics import FleetMetrics
from controller.server import FleetServer
from controller.strangers import BURST, Strangers
from scheduling.cluster import ClusterScheduler
from tests.controller.ray_fleet import deployment
from vocabulary.placement import Placement

NOBODY = Refusal(Reason.UNAUTHENTICATED, "a token is needed")
WRONG = Refusal(Reason.INVALID_TENSOR, "its shape is wrong")


def test_a_few_at_once_and_one_each_second_are_told_with_how_many_were_not() -> None:
    now_s = 0.0
    strangers = Strangers(lambda: now_s)
    told = [strangers.told(NOBODY) for _ in range(BURST + 7)]
    assert told == [NOBODY] * BURST + [None] * 7
    now_s = 1.0
    assert strangers.told(NOBODY).message == (
        "a token is needed; 7 more such calls before it are not in the journal"
    )
    assert (strangers.told(NOBODY), strangers.told(WRONG)) == (None, WRONG)
    now_s = 1000.0
    assert [strangers.told(NOBODY) is None for _ in range(BURST + 1)] == [False] * BURST + [True]


@pytest.mark.asyncio
async def test_calls_of_strangers_push_no_others_out_of_the_journal(tmp_path) -> None:
    fleet, nothing = deployment(), Placement(())
    journal = Journal(tmp_path / "journal.db", max_rows=100)
    journal.open()
    server = FleetServer(
        fleet,
        nothing,
        ClusterScheduler(nothing, catalog=fleet.catalog(), policy=fleet.policy),
        clock=time.monotonic,
        soon=lambda call: None,
        metrics=FleetMetrics(fleet.model_names),
        journal=journal,
    )
    server.turned_away("a", WRONG, call_id="mine")
    for number in range(1000):
        server.turned_away("", NOBODY, call_id=f"spam-{number}")
    journal.close()
    found = JournalFile(tmp_path / "journal.db")
    assert found.request("mine") is not None
    assert found.request("spam-0") is not None
    assert found.request("spam-999") is None
