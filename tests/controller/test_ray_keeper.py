"""When the fleet's process is killed while it starts Ray, Ray goes with it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller.on_ray.keeper import kill_session
from tests.controller.ray_fleet import processes_of

pytestmark = pytest.mark.cluster
DRIVER = [sys.executable, "-P", str(Path(__file__).with_name("ray_driver.py"))]


def test_a_fleet_that_is_killed_while_ray_starts_leaves_nothing():
    driver = subprocess.Popen(
        [*DRIVER, "local", "n-0:0"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    folder = next(line for line in driver.stdout if "node 1 of 2" in line).partition(": ")[0]
    ends = [os.pidfd_open(pid) for pid in processes_of(folder)]
    driver.kill()
    driver.communicate(timeout=60)
    for end in ends:
        assert select.select([end], [], [], 30.0)[0], f"a process of {folder} outlives the fleet"
        os.close(end)
    assert processes_of(folder) == []
    assert not Path(folder).exists()


def test_all_of_a_session_is_killed_however_late_it_is():
    shell = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 30 & echo ready; wait"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert shell.stdout is not None and shell.stdout.readline() == b"ready\n"
    kill_session(shell.pid, timeout_s=0.0)
    assert shell.stdout.read() == b"", "the sleep, which holds the pipe too, has ended as well"
    assert shell.wait() == -signal.SIGKILL
