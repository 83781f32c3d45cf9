"""A controller is killed, and another goes on with its Ray and its groups; or ends what is left of them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.keys import FleetKeys, ensure_keys
from controller.on_ray.cluster import RayCluster
from controller.on_ray.nouns import Limits, StartedGroup
from controller.on_ray.orphans import end_orphans
from tests.controller.ray_fleet import deployment, group, processes_of, specs_of
from vocabulary.errors import RuntimeFailure
from vocabulary.parallel import ParallelConfig

pytestmark = pytest.mark.cluster
DRIVER = [sys.executable, "-P", str(Path(__file__).with_name("ray_driver.py"))]
ONE, FOUR = ParallelConfig(1, 1), ParallelConfig(1, 4)
GRACE_S = 60.0
FLEET = deployment(orphan_grace_s=GRACE_S)


class Left:
    """What a controller had told before it was killed; tests go on where the one before has stopped."""

    def __init__(self, keys: FleetKeys, memory: Mapping[str, Any]) -> None:
        self.keys = keys
        self.memory = memory
        self.cluster: RayCluster | None = None
        self.groups: tuple[StartedGroup, ...] = ()

    def come_back(self, said: list[str]) -> RayCluster:
        self.cluster = RayCluster(FLEET, progress=said.append, keys=self.keys)
        self.cluster.open(json.loads(json.dumps(self.memory)))
        self.groups = self.cluster.adopt()
        return self.cluster


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("fleet")
    segments = set(os.listdir("/dev/shm"))
    driver = subprocess.Popen(
        [*DRIVER, "local", "n-0:0", str(GRACE_S)],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    said = []
    for line in driver.stdout:
        said.append(line.strip())
        if line.startswith(("ready", "error")):
            break
    assert said[-1] == "ready on n-0", said
    memory = json.loads(next(line for line in said if line.startswith("memory ")).removeprefix("memory "))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = Left(ensure_keys("test"), memory)
    with pytest.raises(RuntimeFailure, match="is held by a process that lives"):
        found.come_back([])
    driver.kill()
    driver.communicate()
    yield found
    if found.cluster is not None:
        found.cluster.close()
    end_orphans(memory, found.keys)
    assert processes_of(memory["folder"]) == []
    assert not Path(memory["folder"]).exists()
    # Other fleets may start meanwhile, which have segments there for a moment.
    end_s = time.monotonic() + 10.0
    while not set(os.listdir("/dev/shm")) <= segments:
        assert time.monotonic() < end_s, set(os.listdir("/dev/shm")) - segments


def test_what_is_remembered_holds_no_secret(left: Left):
    text = json.dumps(left.memory)
    assert left.keys.fleet_key not in text
    assert left.keys.ray_token not in text


def test_another_controller_finds_ray_and_the_group_where_they_were(left: Left):
    said: list[str] = []
    cluster = left.come_back(said)
    assert cluster.is_found
    assert said[0] == "found the Ray of before"
    assert [(one.group_id, one.host, one.group.models) for one in left.groups] == [("g", "n-0", ("a",))]
    assert left.groups[0].address.socket_path.startswith(cluster.socket_folder)
    assert Path(f"/proc/{left.groups[0].pid}").exists()
    assert cluster.memory()["groups"] == left.memory["groups"]


def test_the_group_takes_another_model_and_gives_one_up(left: Left):
    assert left.cluster is not None
    (more,) = specs_of(FLEET, group("g", ["n-0:0"], ONE, "ab"))
    changed = left.cluster.change_group(more, add=("b",))
    assert set(changed.interfaces) == {"a", "b"}
    assert changed.group.models == ("a", "b")
    assert changed.pid == left.groups[0].pid
    (fewer,) = specs_of(FLEET, group("g", ["n-0:0"], ONE, "b"))
    changed = left.cluster.change_group(fewer, remove=("a",))
    assert (set(changed.interfaces), changed.group.models) == ({"b"}, ("b",))


def test_a_controller_that_leaves_is_followed_by_another(left: Left):
    assert left.cluster is not None
    left.memory = left.cluster.memory()
    left.cluster.leave()
    left.cluster.close()
    cluster = left.come_back([])
    assert cluster.is_found
    assert [(one.group_id, one.group.models) for one in left.groups] == [("g", ("b",))]


def test_a_stopped_process_is_killed_at_once_and_its_devices_are_free(left: Left):
    assert left.cluster is not None
    pid = left.groups[0].pid
    end = os.pidfd_open(pid)
    os.kill(pid, signal.SIGSTOP)
    lost: list[str] = []
    left.cluster.watch(lambda group_id, why: lost.append(group_id))
    left.cluster.kill_group("g")
    left.cluster.kill_group("g")
    assert select.select([end], [], [], 2.0)[0], "it lives"
    os.close(end)
    (started,) = left.cluster.start_groups(specs_of(FLEET, group("g", [f"n-0:{i}" for i in range(4)], FOUR)))
    assert started.pid != pid
    assert lost == []


def test_what_does_not_answer_a_controller_that_comes_back_is_ended(left: Left):
    assert left.cluster is not None
    (deaf,) = left.cluster.start_groups(specs_of(FLEET, group("deaf", ["n-1:0"], ONE)))
    os.kill(deaf.pid, signal.SIGSTOP)
    end = os.pidfd_open(deaf.pid)
    left.memory = left.cluster.memory()
    left.cluster.leave()
    cluster = left.cluster = RayCluster(FLEET, progress=print, keys=left.keys, limits=Limits(resume_s=1.0))
    cluster.open(left.memory)
    left.groups = cluster.adopt()
    assert [one.group_id for one in left.groups] == ["g"]
    assert select.select([end], [], [], 15.0)[0], "a stalled group outlives its controller"
    os.close(end)
    (again,) = cluster.start_groups(specs_of(FLEET, group("deaf", [f"n-1:{i}" for i in range(4)], FOUR)))
    assert again.host == "n-1"


def test_what_a_controller_has_left_is_ended_without_it(left: Left):
    assert left.cluster is not None
    memory = left.cluster.memory()
    left.cluster.leave()
    words = end_orphans(memory, left.keys)
    assert words.startswith("the Ray of the fleet, ")
    assert end_orphans(memory, left.keys) == ""
    assert end_orphans(None, left.keys) == ""
    assert processes_of(memory["folder"]) == []
