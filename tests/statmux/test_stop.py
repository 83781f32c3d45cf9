"""`statmux stop` against a fleet that is a script, and against what a dead one left."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from controller.journal import Journal
from controller.journal.read import JournalFile
from controller.verbs.control import ROOT
from tests.statmux.in_process import statmux
from tests.statmux.scripted_control import scripted_fleet

DRAINING = {"state": "draining", "num_pending": 2}


def leave_a_dead_fleet(desk: Path) -> Path:
    """Its socket, its keys and its journal, and no process."""
    folder = desk / ROOT / "dead"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "control.sock"))
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"fleet_key": "k", "ray_token": "t"}))
    keys.chmod(0o600)
    journal = Journal(folder / "journal.db")
    journal.open()
    journal.remember("cluster", {"version": 0, "of": "a version that nobody knows"})
    journal.close()
    return folder


def test_a_fleet_is_asked_to_stop(desk):
    with scripted_fleet(desk, {"stop": DRAINING}) as heard:
        done = statmux("stop", folder=desk)
        document = json.loads(statmux("stop", "-o", "json", folder=desk).stdout)
    assert done.stdout == "f is draining\n"
    assert (document["fleet"], document["num_pending"]) == ("f", 2)
    assert [one["verb"] for one in heard] == ["stop", "stop"]


def test_waiting_ends_when_the_socket_is_gone_or_with_5(desk):
    def go(request):
        (desk / ROOT / "f" / "control.sock").unlink()
        return DRAINING

    with scripted_fleet(desk, {"stop": DRAINING}):
        assert statmux("stop", "--wait", "--timeout", "100ms", folder=desk).returncode == 5
    with scripted_fleet(desk, {"stop": go}):
        assert statmux("stop", "--wait", folder=desk).stdout == "f is stopped\n"


def test_what_a_killed_controller_left_is_ended_and_gone(desk):
    folder = leave_a_dead_fleet(desk)
    done = statmux("stop", "--fleet", "dead", "-o", "json", folder=desk)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "stopped"
    assert [one.name for one in folder.iterdir()] == ["journal.db"]
    assert JournalFile(folder / "journal.db").recall("cluster") is None
    assert [one.kind for one in JournalFile(folder / "journal.db").events(9)] == ["orphans_ended"]


def test_a_fleet_that_is_not_there_is_unreachable(desk):
    assert statmux("stop", folder=desk).returncode == 4
    assert statmux("stop", "--fleet", "x", folder=desk).returncode == 4
