"""A Ray that does not start or does not answer: the reason in words, soon, and nothing left running."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.ray_cluster import RayCluster
from controller.ray_local import LocalRay, log_tail
from tests.controller.ray_fleet import deployment, processes_of
from vocabulary.errors import RuntimeFailure, Unreachable

DRIVER = [sys.executable, "-P", str(Path(__file__).with_name("ray_driver.py"))]


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Paths of sockets are limited to 107 bytes, and those of pytest are long."""
    folder = Path(tempfile.mkdtemp(prefix="statmux-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def quiet(words: str) -> None:
    return None


def test_a_folder_that_cannot_be_written_is_named():
    cluster = RayCluster(deployment(), progress=quiet, root="/nonexistent")
    with pytest.raises(
        RuntimeFailure, match=r"cannot make a folder .* in /nonexistent: No such file"
    ) as caught:
        cluster.open()
    assert caught.value.hint
    cluster.close()


@pytest.mark.cluster
def test_a_ray_that_refuses_to_start_is_quoted_and_leaves_nothing(short_folder: Path):
    ray = LocalRay({"n-0": 4}, folder=short_folder, object_store_bytes=1)
    ray.launch()
    with pytest.raises(RuntimeFailure) as caught:
        ray.wait(timeout_s=60.0, progress=quiet)
    ray.stop()
    ray.stop()
    assert caught.value.message.startswith("Ray did not start: ")
    assert "object store memory" in caught.value.message
    assert caught.value.hint
    assert processes_of(str(short_folder)) == []
    assert not short_folder.exists()


@pytest.mark.cluster
def test_a_ray_that_is_too_slow_is_given_up_and_leaves_nothing(short_folder: Path):
    ray = LocalRay({"n-0": 4}, folder=short_folder)
    ray.launch()
    with pytest.raises(RuntimeFailure, match=r"its 1 nodes did not come up within 0.01 s"):
        ray.wait(timeout_s=0.01, progress=quiet)
    ray.stop()
    assert processes_of(str(short_folder)) == []


def test_a_process_that_ends_at_once_is_told_with_its_status(tmp_path: Path):
    ray = LocalRay({}, folder=tmp_path)  # no node: the keeper has nothing to say
    ray.launch()
    ray._keeper.kill()
    with pytest.raises(RuntimeFailure, match="its process ended with status -9"):
        ray.wait(timeout_s=60.0, progress=quiet)
    ray.stop()


def test_an_address_where_nobody_listens_is_unreachable():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    cluster = RayCluster(deployment(ray_address=address), progress=quiet)
    with pytest.raises(Unreachable, match=f"no Ray cluster answers at {address}"):
        cluster.open()


@pytest.mark.cluster
def test_a_port_of_something_else_is_unreachable_within_the_time():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        ran = subprocess.run(
            [*DRIVER, address, "n-0:0"], capture_output=True, text=True, timeout=60, input=""
        )
    assert ran.returncode == Unreachable.exit_code, ran.stderr
    assert f"error: cannot join Ray at {address}: no answer within 5 s" in ran.stdout
    assert "hint: " in ran.stdout


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_fleet_that_ends_while_ray_starts_leaves_nothing(number: signal.Signals):
    driver = subprocess.Popen(
        [*DRIVER, "local", "n-0:0"], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    folder = next(line for line in driver.stdout if "node 1 of 2" in line).partition(": ")[0]
    ends = [os.pidfd_open(pid) for pid in processes_of(folder)]
    driver.send_signal(number)
    driver.communicate(timeout=60)
    assert driver.returncode != 0
    for end in ends:
        assert select.select([end], [], [], 30.0)[0], f"a process of {folder} outlives the fleet"
        os.close(end)
    assert processes_of(folder) == []
    assert not Path(folder).exists()


def test_the_tail_of_logs_prefers_errors(tmp_path: Path):
    logs = tmp_path / "ray" / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text("fine\n[x] E port taken\nfine again\n")
    (logs / "gcs_server.out").write_text("all is well\n")
    assert log_tail(tmp_path) == "raylet.err: [x] E port taken"
    (logs / "raylet.err").write_text("")
    assert log_tail(tmp_path) == "gcs_server.out: all is well"
