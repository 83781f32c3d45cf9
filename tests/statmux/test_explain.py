"""`statmux explain`: the journal in sentences, with the fleet and without it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.calls import Reason
from controller.journal import EventLine, Journal, RequestLine
from controller.journal.explaining import Context, event_sentence, explained, open_groups
from controller.journal.told_reasons import MEANINGS
from tests.statmux.in_process import statmux

NOON = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
GROUPS = {"g0": ["m", "n"], "g1": ["m"]}


def line(**words: object) -> RequestLine:
    usual = {"request_id": "r1", "model": "m", "unix_s": NOON, "latency_s": 0.05, "protocol": "grpc_v2"}
    return RequestLine(**usual | words)


def event(kind: str, group: str = "", *, at_s: float = NOON - 60.0, **words: object) -> EventLine:
    return EventLine(at_s, kind, group, "", words)


BOTH_OPEN = (
    event("started", router="shortest_expected_delay"),
    event("open", "g0", models=["m", "n"]),
    event("open", "g1", models=["m"]),
)


def test_every_reason_has_a_meaning():
    assert set(MEANINGS) == {reason.value for reason in Reason}


def test_a_served_request_is_told_with_its_times_its_place_and_its_plan():
    plan = event("plan", why="first plan", groups=GROUPS)
    served = line(group="g0", slo_s=0.1, queue_s=0.01, predicted_latency_s=0.04, tenant="t", timeout_s=2.0)
    assert explained(served, Context(BOTH_OPEN, plan)) == (
        "Request r1 for m of tenant t came over grpc_v2 at 2027-01-15 08:00:00.000 UTC.",
        "Group g0 served it in 50.0 ms: it waited 10.0 ms and ran 40.0 ms.",
        "Its SLO of 100.0 ms was kept, with 50.0 ms left.",
        "Its client would have waited 2000.0 ms.",
        "When it was given to g0, its end was predicted after 40.0 ms; it took 1.25 of that.",
        "It went to g0 by the router shortest_expected_delay; also open for m: g1.",
        "The plan since 2027-01-15 07:59:00.000 (first plan) has m on g0, g1.",
    )


def test_a_refused_request_is_told_why_and_what_would_help():
    refused = line(fate="slo_infeasible", words="predicted 80 ms after its SLO", slo_s=0.1, latency_s=0.001)
    told = explained(refused, Context(BOTH_OPEN))
    assert told[1:5] == (
        "It was not served (slo_infeasible), after 1.0 ms: predicted 80 ms after its SLO.",
        "Its SLO was 100.0 ms.",
        "It was never given to a group.",
        "Open for m when it came: g0, g1.",
    )
    assert told[5].startswith("On every group that was open for the model its answer was predicted")


def test_a_request_that_was_given_twice_says_so():
    told = explained(line(group="g1", num_tries=2, slo_s=0.02), Context())
    assert "Its SLO of 20.0 ms was missed by 30.0 ms." in told
    assert told[-1].startswith("It was given to 2 groups, one after the other")


def test_a_request_for_nobody_says_little():
    told = explained(line(request_id="", model="", fate="unauthenticated", num_tries=0), Context(BOTH_OPEN))
    assert told == (
        "Request without an id for no model that is known came over grpc_v2 at 2027-01-15 08:00:00.000 UTC.",
        "It was not served (unauthenticated), after 50.0 ms.",
        MEANINGS["unauthenticated"],
    )


def test_which_groups_were_open_follows_from_what_was_decided():
    assert open_groups("m", ()) is None
    assert open_groups("m", BOTH_OPEN) == ("g0", "g1")
    assert open_groups("n", BOTH_OPEN) == ("g0",)
    assert open_groups("m", (*BOTH_OPEN, event("close", "g0", models=["m"]))) == ("g1",)
    assert open_groups("m", (*BOTH_OPEN, event("group_lost", "g1"), event("stop", "g0", models=["m"]))) == ()
    assert open_groups("m", (*BOTH_OPEN, event("started"))) is None
    alone = explained(line(group="g0"), Context((event("open", "g0", models=["m"]),)))
    assert "It went to g0 since no other group was open for m." in alone
    none = explained(line(fate="unavailable"), Context((*BOTH_OPEN[:2], event("group_lost", "g0"))))
    assert "No group was open for m when it came." in none


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (event("plan", groups=GROUPS, why="apply"), "a plan is wanted: apply: g0 m, n; g1 m"),
        (event("plan", groups={}), "a plan is wanted: nothing"),
        (event("group_lost", "g0", why="killed"), "group g0 was lost: killed"),
        (event("group_given_up", "g0", why="5 times", models=["m"]), "group g0 was given up: 5 times"),
        (event("started", resumed=False, router="r"), "the controller started; the router is r"),
        (
            event("started", resumed=True),
            "the controller took over from one that died; the router is not known",
        ),
        (event("devices", gone=["d-0", "d-1"], come=[]), "devices: d-0, d-1 gone"),
        (event("devices", gone=["d-0"], come=["d-1"]), "devices: d-0 gone; d-1 there"),
        (event("converged"), "what runs is what is wanted"),
        (event("stop", "g0", models=["m"]), "group g0 is to stop (m)"),
        (event("load", "g0", models=["m", "n"]), "group g0 is to load m, n"),
        (event("open", "g0", models=["m"]), "group g0 is opened for m"),
        (event("close", "g0", models=["m"]), "group g0 is closed for m"),
        (event("drain", target="n-0", groups=["g0", "g1"]), "drain: target n-0, groups g0, g1"),
        (event("odd_thing", "g1", text="x" * 200, no=None), "odd thing g1: text " + "x" * 97 + "..."),
    ],
)
def test_each_kind_of_event_is_a_sentence(told, words):
    assert event_sentence(told) == f"2027-01-15 07:59:00.000  {words}"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a fleet has been, which is gone."""
    times = iter((NOON - 60.0, NOON - 59.0, NOON + 1.0, NOON + 100.0))
    journal = Journal(tmp_path / ".statmux" / "f" / "journal.db", unix_clock=lambda: next(times))
    journal.open()
    journal.event("plan", groups=GROUPS, why="first plan")
    journal.event("open", group="g0", models=["m"])
    journal.event("group_lost", group="g1", why="killed")
    journal.event("converged")
    journal.request(line(group="g0", queue_s=0.01))
    journal.close()
    return tmp_path


def test_it_reads_the_journal_of_a_fleet_that_is_gone(folder):
    done = statmux("explain", "r1", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    *sentences, blank, around, lost = done.stdout.splitlines()
    assert sentences[1] == "Group g0 served it in 50.0 ms: it waited 10.0 ms and ran 40.0 ms."
    assert sentences[-1] == "The plan since 2027-01-15 07:59:00.000 (first plan) has m on g0, g1."
    assert (blank, around) == ("", "around then:")
    assert lost == "  2027-01-15 08:00:01.000  group g1 was lost: killed"


def test_json_has_the_line_the_sentences_and_the_events(folder):
    document = json.loads(statmux("explain", "r1", "-o", "json", "--fleet", "f", folder=folder).stdout)
    assert document["request"]["group"] == "g0"
    assert document["sentences"][0].startswith("Request r1 for m came")
    assert document["plan"]["words"]["groups"] == GROUPS
    assert [each["kind"] for each in document["around"]] == ["group_lost"]


def test_without_an_id_it_tells_what_was_decided_lately(folder):
    done = statmux("explain", "--last", "2", folder=folder)
    assert done.stdout.splitlines() == [
        "2027-01-15 08:00:01.000  group g1 was lost: killed",
        "2027-01-15 08:01:40.000  what runs is what is wanted",
    ]
    document = json.loads(statmux("explain", "-o", "json", folder=folder).stdout)
    assert [each["kind"] for each in document["events"]] == ["plan", "open", "group_lost", "converged"]


def test_a_request_that_is_not_there_is_an_error_that_says_what_is(folder):
    done = statmux("explain", "r2", folder=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "error: the journal has no request 'r2'; it has those from 2027-01-15 08:00:00.000 to 2027-01-15 "
        "08:00:00.000 UTC\nhint: `observability.journal` says which requests are kept (requests: all) and "
        "how many (max_rows)\n"
    )


def test_several_journals_need_a_name_and_none_is_unreachable(folder, tmp_path_factory):
    other = folder / ".statmux" / "other" / "journal.db"
    other.parent.mkdir()
    other.touch()
    done = statmux("explain", "r1", folder=folder)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "error: several fleets kept journals here: f, other",
    )
    done = statmux("explain", "r1", folder=tmp_path_factory.mktemp("empty"))
    assert done.returncode == 4
    assert statmux("explain", "r1", "--fleet", "../f", folder=folder).returncode == 2
