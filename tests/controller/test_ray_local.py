"""A local Ray: why it did not start, in its own words, soon, and nothing left of it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.on_ray.local import LocalRay, log_tail
from tests.controller.ray_fleet import processes_of
from vocabulary.errors import RuntimeFailure


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Paths of sockets are limited to 107 bytes, and those of pytest are long."""
    folder = Path(tempfile.mkdtemp(prefix="statmux-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def quiet(words: str) -> None:
    return None


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


@pytest.mark.cluster
def test_a_ray_that_loses_a_part_ends_as_a_whole(short_folder: Path):
    ray = LocalRay({"n-0": 1}, folder=short_folder)
    ray.launch()
    ray.wait(timeout_s=60.0, progress=quiet)
    command_of = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in processes_of(str(short_folder))}
    (store,) = [
        pid for pid, command in command_of.items() if command.startswith("/") and "gcs_server\0" in command
    ]
    ends = [os.pidfd_open(pid) for pid in command_of]
    os.kill(store, signal.SIGKILL)
    for end in ends:
        assert select.select([end], [], [], 30.0)[0]
        os.close(end)
    assert not ray.is_alive()
    ray.stop()
    assert not short_folder.exists()


def test_the_tail_of_logs_prefers_errors(tmp_path: Path):
    logs = tmp_path / "ray" / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.err").write_text("fine\n[x] E port taken\nfine again\n")
    (logs / "gcs_server.out").write_text("all is well\n")
    assert log_tail(tmp_path) == "raylet.err: [x] E port taken"
    (logs / "raylet.err").write_text("")
    assert log_tail(tmp_path) == "gcs_server.out: all is well"


def test_what_ray_prints_between_the_lines_of_its_keeper_is_nobodys_word(tmp_path: Path):
    said = ["Ray is thinking", "[1, 2]", '{"host": "n-0", "address": "there"}', '{"error": "no more"}']
    ray = LocalRay({"n-0": 1, "n-1": 1}, folder=tmp_path)
    talk = ["sh", "-c", "; ".join(f"echo '{line}'" for line in said)]
    ray._keeper = subprocess.Popen(
        talk, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    told: list[str] = []
    with pytest.raises(RuntimeFailure, match="Ray did not start: no more"):
        ray.wait(timeout_s=60.0, progress=told.append)
    ray.stop()
    assert told == ["Ray node 1 of 2 lives: n-0"]


def test_the_tail_of_a_long_log_is_its_end_alone_and_what_is_no_file_is_left_out(tmp_path: Path):
    logs = tmp_path / "ray" / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "gone.out").symlink_to(logs / "nowhere")
    (logs / "raylet.out").write_text("[x] E too early\n" + "x" * 100_000 + "\nthe end\n")
    assert log_tail(tmp_path).endswith("raylet.out: the end")
    assert "too early" not in log_tail(tmp_path)
