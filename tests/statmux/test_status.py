"""`statmux status` against a fleet that is a script: tables, waiting, watching."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from tests.statmux.fleet_status import group, model, status
from tests.statmux.in_process import statmux
from tests.statmux.scripted_control import scripted_fleet
from vocabulary.errors import Unreachable

ROOT = Path(__file__).parents[2]


def as_process(*words: str, folder: Path, stdout: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "statmux.main", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def test_groups_restarts_and_what_is_amiss_are_shown(desk):
    lost = group("g1", state="lost", num_restarts=2, models=["m", "n"])
    told = status(
        state="degraded",
        is_converged=False,
        problems=["group g1 is lost: killed", "the journal: disk full"],
        groups=[group(), lost],
        models={"m": model(), "n": model(stage_time_ratio={})},
        drained=["g2"],
    )
    with scripted_fleet(desk, {"status": told}):
        lines = statmux("status", folder=desk).stdout.splitlines()
    assert lines[0] == "f is degraded (emulated), up 12 s, 3 requests in flight, gRPC 127.0.0.1:8001"
    assert lines[1:5] == [
        "! group g1 is lost: killed",
        "! the journal: disk full",
        "it is on its way to what is wanted of it",
        "drained: g2",
    ]
    assert lines[8].split() == ["g1", "n-0:0", "1", "1", "1", "lost", "2", "0", "0", "25.00%", "m,", "n"]


def test_one_model_is_shown_with_the_groups_that_hold_it(desk):
    groups = [group(), group("g1", models=["n"])]
    with scripted_fleet(desk, {"status": status(groups=groups, models={"m": model(), "n": model()})}):
        text = statmux("status", "n", folder=desk).stdout
        unknown = statmux("status", "o", folder=desk)
    assert ("g1" in text, "g0" in text) == (True, False)
    assert [line.split()[0] for line in text.splitlines()[-1:]] == ["n"]
    assert (unknown.returncode, unknown.stderr) == (2, "error: fleet f has no model 'o'\nhint: it has m, n\n")


def test_waiting_ends_when_it_is_ready_or_with_5(desk):
    loading = status(state="loading", is_ready=False)
    with scripted_fleet(desk, {"status": [loading, status()]}):
        assert statmux("status", "--wait", "ready", folder=desk).returncode == 0
    with scripted_fleet(desk, {"status": loading}):
        late = statmux("status", "--wait", "ready", "--timeout", "0.1s", folder=desk)
    assert late.returncode == 5


def test_watching_writes_a_line_of_json_for_each_look_until_the_fleet_ends(desk):
    told = [status(uptime_s=1.0), status(uptime_s=2.0), status(uptime_s=3.0)]
    with scripted_fleet(desk, {"status": told}) as heard:
        words = ("status", "--watch", "--every", "50ms", "-o", "json", "--fleet", "f")
        process = as_process(*words, folder=desk, stdout=subprocess.PIPE)
        lines = [process.stdout.readline() for _ in range(3)]
    _, stderr = process.communicate(timeout=60)
    assert [json.loads(line)["uptime_s"] for line in lines] == [1.0, 2.0, 3.0]
    assert all(json.loads(line)["schema_version"] == 1 for line in lines)
    assert (process.returncode, stderr) == (0, b"the fleet has ended\n")
    assert len(heard) >= 3


def test_watching_on_a_terminal_draws_in_place_and_ends_with_130(desk):
    with scripted_fleet(desk, {"status": status()}):
        terminal, end = pty.openpty()
        process = as_process("status", "--watch", "--every", "50ms", folder=desk, stdout=end)
        os.close(end)
        shown = b""
        while shown.count(b"f is ready") < 3:
            shown += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        os.close(terminal)
    assert process.returncode == 130
    assert b"\x1b[1A" in shown  # back up to where the table before it began


def test_a_controller_that_does_not_answer_for_a_while_is_watched_on(desk):
    told = [status(uptime_s=1.0), Unreachable("nobody is there"), status(uptime_s=3.0)]
    with scripted_fleet(desk, {"status": told}):
        words = ("status", "--watch", "--every", "50ms", "-o", "json")
        process = as_process(*words, folder=desk, stdout=subprocess.PIPE)
        lines = [process.stdout.readline() for _ in range(2)]
    _, stderr = process.communicate(timeout=60)
    assert [json.loads(line)["uptime_s"] for line in lines] == [1.0, 3.0]
    assert b"warning: nobody is there" in stderr
