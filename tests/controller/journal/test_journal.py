"""The journal: what is kept, for how long, and what happens when the disk does not take it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.journal import Journal, NoJournal, RequestLine
from controller.journal.read import JournalFile
from vocabulary.errors import InvalidInput, RuntimeFailure
from vocabulary.steps import RestartPolicy

SECRET = "s3cr3t-of-an-app"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet" / "journal.db"


@pytest.fixture
def journal_at(path: Path) -> Iterator[Callable[..., Journal]]:
    """Opens journals at the path; all are closed at the end."""
    opened = []

    def open_journal(**settings: object) -> Journal:
        journal = Journal(path, **settings)
        journal.open()
        opened.append(journal)
        return journal

    yield open_journal
    for each in opened:
        each.close()


def line(request_id: str, **words: object) -> RequestLine:
    return RequestLine(**{"request_id": request_id, "model": "m", "unix_s": 5.0, "latency_s": 0.1} | words)


def until(claim: Callable[[], bool]) -> None:
    """The journal's thread has the time that it takes, within a bound."""
    never = threading.Event()
    for _ in range(3000):
        if claim():
            return
        never.wait(0.01)
    raise AssertionError("never came true")


def test_a_request_is_found_by_its_id_with_all_that_was_written(journal_at, path):
    journal = journal_at()
    first = line("a", fate="queue_full", words="full", tenant="t", slo_s=0.2, queue_s=0.01)
    last = line("a", group="g1", predicted_latency_s=0.09, timeout_s=3.0, num_tries=2, protocol="openai")
    for each in (first, line("b"), last):
        journal.request(each)
    journal.close()
    assert JournalFile(path).request("a") == last
    assert JournalFile(path).request("c") is None
    assert JournalFile(path).latest_requests(2) == (last, line("b"))
    assert JournalFile(path).latest_requests(2, model="other") == ()
    assert (journal.problem, journal.num_lost) == ("", 0)


def test_only_the_last_rows_stay(journal_at, path):
    journal = journal_at(max_rows=10)
    for index in range(35):
        journal.request(line(str(index)))
        journal.event("step", index=index)
    journal.close()
    assert [each.request_id for each in JournalFile(path).latest_requests(99)] == [
        str(index) for index in range(34, 24, -1)
    ]
    assert [each.words["index"] for each in JournalFile(path).events(99)] == list(range(34, 24, -1))


@pytest.mark.parametrize(("requests", "kept"), [("all", ["b", "a"]), ("refused", ["b"]), ("none", [])])
def test_which_requests_are_kept_is_chosen(journal_at, path, requests, kept):
    journal = journal_at(requests=requests)
    journal.request(line("a"))
    journal.request(line("b", fate="slo_infeasible"))
    journal.close()
    assert [each.request_id for each in JournalFile(path).latest_requests(9)] == kept


def test_what_is_kept_may_change_while_it_writes(journal_at, path):
    journal = journal_at()
    for index in range(10):
        journal.request(line(str(index)))
    journal.keep(requests="refused", max_rows=2)
    journal.request(line("served"))
    journal.request(line("refused", fate="queue_full"))
    journal.close()
    assert [each.request_id for each in JournalFile(path).latest_requests(99)] == ["refused", "9"]


def test_events_are_found_by_group_model_kind_and_time(journal_at, path):
    times = iter(range(100))
    journal = journal_at(unix_clock=lambda: float(next(times)))
    journal.event("group_lost", group="g0", why="killed", policy=RestartPolicy())
    journal.event("plan", plan="p1")
    journal.event("model_unloaded", group="g0", model="m")
    journal.event("apply", plan="p2")
    journal.close()
    read = JournalFile(path)
    assert [each.kind for each in read.events(9, group="g0")] == ["model_unloaded", "group_lost"]
    assert [each.kind for each in read.events(9, model="m")] == ["model_unloaded"]
    assert [each.kind for each in read.events(9, from_unix_s=1.0, to_unix_s=2.0)] == [
        "model_unloaded",
        "plan",
    ]
    assert [each.words for each in read.plans(9)] == [{"plan": "p2"}, {"plan": "p1"}]
    assert read.events(1, kinds=("group_lost",))[0].words["policy"]["max_restarts"] == 5


def test_what_is_remembered_is_there_for_the_next_controller(journal_at):
    journal = journal_at()
    assert journal.recall("plan") is None
    assert journal.remember("plan", {"groups": ["g0"], "epoch": 1}).result(timeout=30)
    assert journal.remember("plan", {"groups": [], "epoch": 2}).result(timeout=30)
    assert journal.recall("plan")["epoch"] == 2
    # It was not closed: its process was killed.
    assert journal_at().recall("plan") == {"groups": [], "epoch": 2}


@pytest.mark.asyncio
async def test_remembering_can_be_awaited_and_given_up(journal_at):
    journal = journal_at()
    assert await asyncio.wrap_future(journal.remember("epoch", 3))
    journal.remember("epoch", 4).cancel()
    assert await asyncio.wrap_future(journal.remember("other", 5))
    assert journal.recall("epoch") == 4


def test_the_file_is_the_owners(journal_at, path):
    journal = journal_at()
    journal.remember("a", 1).result(timeout=30)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(("journal.db", "journal.db-wal", "journal.db-shm"), 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_secrets_are_left_out_wherever_they_stand(journal_at, path):
    journal = journal_at(hidden=(SECRET, ""))
    journal.request(line(SECRET, words=f"token {SECRET}?", tenant=SECRET))
    journal.event("admin", token=SECRET, nested={SECRET: [SECRET]})
    assert journal.remember("deployment", f"text: {SECRET}").result(timeout=30)
    journal.close()
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert JournalFile(path).latest_requests(1)[0].words == "token (hidden)?"


def test_what_clients_write_does_not_fill_or_stop_the_journal(journal_at, path):
    journal = journal_at()
    journal.request(line("x" * 10_000, words="w" * 10_000))
    journal.request(line("half \ud800 a pair", slo_s=float("inf"), predicted_latency_s=float("nan")))
    journal.event("odd", value=float("inf"), kind_of=object, text="\x00")
    journal.close()
    odd, long = JournalFile(path).latest_requests(2)
    assert (odd.request_id, odd.slo_s, odd.predicted_latency_s) == ("half ? a pair", None, None)
    assert (len(long.request_id), len(long.words)) == (256, 2000)
    assert JournalFile(path).events(1)[0].words["value"] is None
    assert (journal.problem, journal.num_lost) == ("", 0)


@pytest.mark.parametrize("text", [b"this is no database, not at all " * 100, b"SQLite format 3\x00 and then"])
def test_a_file_that_is_no_journal_is_put_aside_and_told(journal_at, path, text):
    path.parent.mkdir()
    path.write_bytes(text)
    path.with_name("journal.db.aside-1").write_bytes(b"an earlier one")
    journal = journal_at()
    assert journal.problem == ""
    journal.close()
    assert path.with_name("journal.db.aside-2").read_bytes() == text
    (told,) = JournalFile(path).events(9)
    assert told.kind == "journal_put_aside"
    assert "it is now journal.db.aside-2" in told.words["why"]


def test_a_journal_of_another_version_is_put_aside_whole(journal_at, path):
    journal = journal_at()
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RuntimeFailure, match="has version 99"):
        JournalFile(path).events(1)
    again = journal_at()
    again.close()
    assert "its schema has version 99" in JournalFile(path).events(1)[0].words["why"]


def test_a_file_that_is_damaged_while_it_serves_is_put_aside_and_memory_goes_on(journal_at, path):
    journal = journal_at()
    assert journal.remember("plan", "p1").result(timeout=30)
    # What is in the log goes to the file, so that the file alone counts.
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(0)
        file.write(os.urandom(path.stat().st_size))
    journal.event("after")
    until(lambda: path.with_name("journal.db.aside-1").exists())
    assert journal.remember("epoch", 7).result(timeout=30)
    journal.close()
    assert [each.kind for each in JournalFile(path).events(9)][-1] in ("after", "journal_put_aside")
    again = journal_at()
    assert (again.recall("plan"), again.recall("epoch")) == ("p1", 7)


def test_a_file_that_is_deleted_is_made_again(journal_at, path):
    journal = journal_at()
    assert journal.remember("plan", "p1").result(timeout=30)
    for each in path.parent.iterdir():
        each.unlink()
    journal.request(line("a"))
    journal.close()
    assert JournalFile(path).request("a") == line("a")
    assert journal_at().recall("plan") == "p1"


def test_where_no_file_can_be_it_says_why_and_writes_when_it_can(journal_at, path):
    path.mkdir(parents=True)
    journal = journal_at()
    assert "unable to open" in journal.problem or "directory" in journal.problem
    journal.request(line("a"))
    assert journal.remember("plan", "p1").result(timeout=30) is False
    assert journal.recall("plan") == "p1"
    path.rmdir()
    until(lambda: journal.problem == "")
    journal.close()
    assert JournalFile(path).request("a") == line("a")
    assert journal_at().recall("plan") == "p1"


def test_what_finds_no_room_is_counted(journal_at, path):
    path.mkdir(parents=True)
    journal = journal_at(max_queued=3)
    until(lambda: bool(journal.problem))
    for index in range(20):
        journal.request(line(str(index)))
    assert journal.num_lost >= 20 - 3 - 3
    journal.close()
    assert journal.num_lost == 20


FULL_DISK = """
import resource, sys, threading
from pathlib import Path
from controller.journal import Journal, RequestLine

def until(claim):
    for _ in range(3000):
        if claim():
            return
        threading.Event().wait(0.01)
    raise AssertionError("never came true")

def limit(num_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, resource.RLIM_INFINITY))

path = Path(sys.argv[1])
journal = Journal(path)
journal.open()
journal.remember("plan", "p1").result(30)
limit(4096)
for index in range(100):
    journal.request(RequestLine(str(index), "m", 1.0, 0.1))
until(lambda: journal.problem)
problem = journal.problem
assert not journal.remember("plan", "p2").result(30)
limit(resource.RLIM_INFINITY)
until(lambda: not journal.problem)
journal.close()
print(problem, journal.num_lost, sep="\\n")
"""


def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(journal_at, path):
    """A limit on the size of files stands in for the disk; it counts for a process."""
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    problem, num_lost = done.stdout.splitlines()[-2:]
    assert problem.startswith("the journal is not written: ")
    assert num_lost == "0"
    assert len(JournalFile(path).latest_requests(999)) == 100
    assert journal_at().recall("plan") == "p2"


def test_two_processes_of_a_fleet_write_to_one_file(journal_at, path):
    one, other = journal_at(), journal_at()
    for index in range(50):
        one.request(line(f"one-{index}"))
        other.request(line(f"other-{index}"))
        one.event("one")
        other.event("other")
    assert other.remember("epoch", 1).result(timeout=30)
    one.close()
    other.close()
    assert len(JournalFile(path).latest_requests(999)) == 100
    assert one.num_lost == other.num_lost == 0


def test_without_a_journal_only_memory_works():
    journal = NoJournal()
    journal.request(line("a"))
    journal.event("x")
    journal.remember("plan", {"a": 1})
    assert journal.recall("plan") == {"a": 1}
    assert (journal.problem, journal.num_lost, journal.recall("b")) == ("", 0, None)
    journal.close()


def test_a_journal_that_is_not_there_is_an_error_with_a_hint(path):
    with pytest.raises(InvalidInput, match="there is no journal at"):
        JournalFile(path).request("a")
    path.mkdir(parents=True)
    with pytest.raises(InvalidInput):
        JournalFile(path).request("a")
    path.rmdir()
    path.write_text("no database")
    with pytest.raises(RuntimeFailure, match="cannot be read"):
        JournalFile(path).request("a")
