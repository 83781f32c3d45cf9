"""What the doctor makes of what it measures."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from controller.discovery import FoundDevices
from statmux.doctoring import devices, leftovers, machine, network, ray, software
from statmux.doctoring.finding import Level
from vocabulary.mesh import NodeClass

GIB = 2**30


@pytest.mark.parametrize(
    ("finding", "level"),
    [
        (machine.processors(1), Level.WARN),
        (machine.processors(2), Level.OK),
        (machine.memory(8 * GIB), Level.OK),
        (machine.memory(2 * GIB), Level.WARN),
        (machine.memory(GIB // 2), Level.BAD),
        (machine.disk(Path("/x"), free_bytes=50 * GIB, total_bytes=100 * GIB), Level.OK),
        (machine.disk(Path("/x"), free_bytes=6 * GIB, total_bytes=1000 * GIB), Level.WARN),
        (machine.disk(Path("/x"), free_bytes=GIB, total_bytes=2 * GIB), Level.WARN),
        (machine.disk(Path("/x"), free_bytes=0, total_bytes=0), Level.BAD),
        (machine.shared_memory(2 * GIB), Level.OK),
        (machine.shared_memory(GIB // 2), Level.WARN),
        (machine.shared_memory(64 * 2**20), Level.BAD),
        (machine.files(65_536, 65_536), Level.OK),
        (machine.files(-1, -1), Level.OK),
        (machine.files(1024, 65_536), Level.WARN),
        (machine.files(256, 4096), Level.BAD),
        (machine.clock(1_800_000_000.0, is_synchronised=True), Level.OK),
        (machine.clock(1_800_000_000.0, is_synchronised=None), Level.OK),
        (machine.clock(1_800_000_000.0, is_synchronised=False), Level.WARN),
        (machine.clock(0.0, is_synchronised=True), Level.BAD),
        (software.python((3, 12, 1)), Level.OK),
        (software.python((3, 10, 9)), Level.BAD),
        (ray.started(5.0), Level.OK),
        (ray.started(100.0), Level.WARN),
    ],
)
def test_what_is_not_well_has_a_remedy(finding, level):
    assert finding.level is level
    assert bool(finding.remedy) == (level is not Level.OK)


def test_the_remedy_of_too_few_files_is_what_may_be_asked_for():
    assert machine.files(256, 4096).remedy == "ulimit -n 4096"
    assert machine.files(256, -1).remedy == "ulimit -n 65536"


def test_memory_is_read_from_what_the_kernel_says():
    assert machine.available_bytes("MemTotal: 9 kB\nMemAvailable:     1024 kB\n") == 2**20
    assert machine.available_bytes("") == 0


def test_libraries_are_held_against_the_lock_and_what_is_needed():
    needed = {name: Requirement(f"{name}>=2") for name in ("a", "b", "c", "d")}
    found = software.libraries(
        {"a": "2.5", "b": "2.6", "c": None, "d": "1.0"}, locked={"a": "2.5", "b": "2.5"}, needed=needed
    )
    assert [(one.topic, one.level.value, one.words) for one in found] == [
        ("a", "ok", "2.5"),
        ("b", "warn", "2.6, tested with 2.5"),
        ("c", "bad", "not installed"),
        ("d", "bad", "1.0, not >=2"),
    ]


GPUS = FoundDevices("H100", 8, 80 * 1024, "nvidia-smi")
CORES = FoundDevices("cpu", 4, 2048, "no accelerator")


@pytest.mark.parametrize(
    ("node", "found", "level"),
    [
        (NodeClass("n", 2, "H100", 4, 80 * GIB), GPUS, None),
        (NodeClass("n", 3, "H100", 4, 80 * GIB), GPUS, Level.BAD),
        (NodeClass("n", 1, "A100", 4, 80 * GIB), GPUS, Level.BAD),
        (NodeClass("n", 1, "H100", 8, 90 * GIB), GPUS, Level.BAD),
        (NodeClass("n", 1, "H100", 1, 80 * GIB), CORES, Level.BAD),
        (NodeClass("n", 2, "cpu", 8, GIB), CORES, None),
        (NodeClass("n", 2, "cpu", 8, 4 * GIB), CORES, Level.WARN),
        (NodeClass("n", 2, "cpu", 8, 4 * GIB), GPUS, None),
    ],
)
def test_a_deployment_is_held_against_the_devices_that_are_there(node, found, level):
    told = list(devices.against(node, found, is_emulated=False))
    assert [one.level for one in told] == ([] if level is None else [level])
    assert list(devices.against(node, found, is_emulated=True)) == []


def test_devices_are_told_with_who_says_so():
    assert devices.here(GPUS).words == "8 H100 of 80.0 GiB each (nvidia-smi)"
    assert devices.here(FoundDevices("tpu", 4, 0, "files")).level is Level.WARN


def test_a_lock_is_read_for_this_python():
    text = (
        "a==1.0 ; python_version < '3.0'\na==2.0 ; python_version >= '3.0'\n    # via a==3\n# b==1\nc==4 \\\n"
    )
    assert software.locked_versions(text) == {"a": "2.0", "c": "4"}


def test_the_lock_of_this_tree_knows_every_library_that_matters():
    if not software.LOCK.exists():
        pytest.skip("no requirements.lock beside the code")
    assert set(software.LIBRARIES) <= set(software.locked_versions(software.LOCK.read_text()))


def test_ports_are_free_taken_or_the_fleets_own():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        endpoints = {"gRPC": ("127.0.0.1", port), "HTTP": ("127.0.0.1", 0), "metrics": ("192.0.2.1", port)}
        taken, free, elsewhere = network.port_findings(endpoints, taken_by={})
        own, *_ = network.port_findings(endpoints, taken_by={port: "f"})
    assert (taken.level, taken.words) == (Level.BAD, f"{port} on 127.0.0.1 is taken")
    assert "--port" in taken.remedy
    assert (free.level, elsewhere.level) == (Level.OK, Level.BAD)
    assert (own.level, own.words) == (Level.OK, f"{port}, where fleet f answers")
    (free_now,) = network.port_findings({"gRPC": ("127.0.0.1", port)}, taken_by={})
    assert free_now.level is Level.OK


def test_a_fleet_that_was_killed_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fleet = Path(".statmux/dead")
    fleet.mkdir(parents=True)
    (fleet / "keys.json").touch()
    (fleet / "journal.db").write_text("no database at all, not even nearly " * 100)
    (Path(".statmux") / "gone").mkdir()
    killed, journal = leftovers.fleet_findings(Path())
    assert killed.words == "dead ended without cleaning up"
    assert "`statmux stop --fleet dead`" in killed.remedy
    assert journal.words == "of dead: file is not a database"


def test_a_journal_that_can_be_written_is_no_problem(tmp_path):
    path = tmp_path / "journal.db"
    assert leftovers.journal_problem(path) is None
    sqlite3.connect(path).close()
    assert leftovers.journal_problem(path) is None


def test_the_folder_of_a_ray_that_is_gone_is_told(tmp_path):
    (tmp_path / "statmux-living").mkdir()
    (tmp_path / "statmux-dead").mkdir()
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as living:
        dead.bind(str(tmp_path / "statmux-dead" / "keeper.sock"))
        living.bind(str(tmp_path / "statmux-living" / "keeper.sock"))
        living.listen()
        found = list(leftovers.machine_leftovers(tmp_path))
    assert found[0].words == "1 folders of a Ray that is gone"
    assert found[0].remedy == f"rm -r {tmp_path / 'statmux-dead'}"
