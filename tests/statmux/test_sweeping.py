"""Studies that are killed, interrupted, or spread over processes: no point is lost or computed twice."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from placement.capacity.evaluate import Probe, Study, evaluate
from placement.capacity.points import base_point, moved
from placement.capacity.results import Result
from statmux.progress import Progress
from statmux.sweeping.plain import shown_share
from statmux.sweeping.pool import LocalPool
from statmux.sweeping.runner import Runner
from statmux.sweeping.store import Store
from statmux.sweeping.tables import sparkline
from tests.placement.fleets import deployment, model, requests
from tests.statmux.plan_files import Desk, desk

__all__ = ["desk"]

ROOT = Path(__file__).parents[2]
FLEET = deployment(model("a", 60), model("b", 60), num_hosts=2, num_devices=2)
TRACE = requests({"a": 9.0, "b": 5.0}, duration_s=40.0)
STUDY = Study(FLEET, TRACE, TRACE)
BASE = base_point(FLEET.cluster)
PROBES = tuple(
    Probe(replace(moved(BASE, "devices", devices, resized=0), rate_scale=rate), algorithm="sr-greedy")
    for devices in (2, 4)
    for rate in (1.0, 2.0, 3.0)
)
WORDS = (
    "capacity", "deployment.yaml", "--trace", "long.csv", "--sweep", "rate_scale=1.2..2.4:0.2", "--replan",
    "--processes", "1", "-o", "json",
)  # fmt: skip
POOL_PROGRAM = """
import os, sys
from statmux.sweeping.plain import shown_share
from statmux.sweeping.pool import LocalPool
from tests.statmux.test_sweeping import PROBES, STUDY

if __name__ == "__main__":
    pool = LocalPool(STUDY, num_processes=2)
    for promise in [pool.submit(probe) for probe in PROBES]:
        promise.result()
    print(*pool._executor._processes, flush=True)
    sys.stdin.read()
"""


def unseen(num_all: int = 0) -> Progress:
    return Progress("test", total=num_all, stream=sys.stderr, is_shown=False)


def timeless(results: tuple[Result, ...]) -> tuple[Result, ...]:
    return tuple(replace(result, seconds=0.0) for result in results)


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "statmux.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        text=True,
    )


def points() -> dict[str, bytes]:
    """What is on disk, by name: with the seconds that each took, so a point computed twice would differ."""
    return {path.name: path.read_bytes() for path in Path().glob(".statmux/runs/*/points/*.json")}


def until(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    """Looks whenever the process has had a moment; it must not end before."""
    ended = os.pidfd_open(process.pid)
    try:
        while not is_so():
            assert not select.select([ended], [], [], 0.01)[0], process.communicate()
    finally:
        os.close(ended)


def test_a_study_that_is_killed_and_interrupted_goes_on_where_it_was(desk: Desk) -> None:
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1 / 7.5, 6000))
    rows = [f"{arrival_s:.3f},{'ab'[index % 3 == 2]}" for index, arrival_s in enumerate(arrivals)]
    desk.write("long.csv", "\n".join(["timestamp_s,model", *rows, ""]))

    killed = started(*WORDS)
    until(killed, lambda: len(points()) >= 2)
    killed.kill()
    killed.communicate()
    first = points()

    interrupted = started(*WORDS)
    until(interrupted, lambda: len(points()) >= len(first) + 2)
    interrupted.send_signal(signal.SIGINT)
    out, err = interrupted.communicate()
    second = points()
    assert interrupted.returncode == 130
    assert out == ""
    assert "points are kept in .statmux/runs/capacity-" in err
    assert "the same command goes on from there" in err

    last = desk.statmux(*WORDS)
    assert last.code == 0, last.err
    third = points()
    assert first.items() <= second.items() <= third.items()
    assert last.document["num_resumed"] == len(second)
    assert last.document["num_points"] == len(third)


def test_processes_say_the_same_as_this_one_and_are_gone_afterwards(tmp_path: Path) -> None:
    pools: list[LocalPool] = []

    def open_pool() -> LocalPool:
        pools.append(LocalPool(STUDY, num_processes=2))
        return pools[-1]

    with Runner(STUDY, store=Store(tmp_path), open_pool=open_pool, is_eager=True) as runner:
        found = runner.results((*PROBES, PROBES[0]), unseen(len(PROBES)))
        processes = tuple(pools[0]._executor._processes.values())
        assert len(processes) == 2
    assert timeless(found[:-1]) == timeless(tuple(evaluate(STUDY, probe) for probe in PROBES))
    assert found[-1] == found[0]
    assert runner.num_computed == len(PROBES)
    assert not any(process.is_alive() for process in processes)
    assert len(pools) == 1


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(POOL_PROGRAM)
    parent = subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    assert parent.stdout is not None
    ends = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
    assert len(ends) == 2
    parent.kill()
    parent.communicate()
    for end in ends:
        assert select.select([end], [], [], 30.0)[0], "it outlived its parent"
        os.close(end)


def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    with Runner(STUDY, store=Store(tmp_path), open_pool=None) as runner:
        first = runner.results(PROBES[:2], unseen(2))
    with Runner(STUDY, store=Store(tmp_path), open_pool=None) as runner:
        again = runner.results(PROBES[:3], unseen(3))
    assert again[:2] == first
    assert (runner.num_resumed, runner.num_computed) == (2, 1)


def test_points_of_different_plans_are_kept_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = evaluate(STUDY, PROBES[0])
    kept = Probe(PROBES[0].point, placement=planned.placement)
    store.save(PROBES[0], planned)
    assert store.load(kept) is None
    assert store.load(PROBES[0]) == planned
    store.clear()
    assert store.load(PROBES[0]) is None


def test_errors_of_a_process_rise_as_they_were_raised(tmp_path: Path) -> None:
    from vocabulary.errors import InvalidInput

    wrong = Probe(BASE, algorithm="no such algorithm")
    with (
        Runner(
            STUDY,
            store=Store(tmp_path),
            open_pool=lambda: LocalPool(STUDY, num_processes=1),
            is_eager=True,
        ) as runner,
        pytest.raises(InvalidInput, match="no such algorithm") as caught,
    ):
        runner.results([wrong], unseen(1))
    assert caught.value.hint


def test_a_miss_never_looks_met() -> None:
    assert shown_share(0.98637, asked=0.99, is_estimated=False) == "98.64%"
    assert shown_share(0.989996, asked=0.99, is_estimated=True) == "~98.99960%"
    assert shown_share(0.99, asked=0.99, is_estimated=False) == "99.00%"


def test_a_sparkline_has_one_mark_a_value() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "██"
    assert sparkline([0.0, 1.0], has_blocks=False) == "_#"
