"""A Ray that is not reached: the reason in words, within the time, and nothing left."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller.on_ray.cluster import RayCluster
from tests.controller.ray_fleet import deployment, processes_of
from vocabulary.errors import RuntimeFailure, Unreachable

DRIVER = [sys.executable, "-P", str(Path(__file__).with_name("ray_driver.py"))]


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
def test_a_fleet_closed_while_ray_starts_stops_at_once():
    folders = []

    def close_when_it_starts(words: str) -> None:
        folders.append(cluster.socket_folder)
        if "node 1 of 2" in words:
            closing.start()

    cluster = RayCluster(deployment(), progress=close_when_it_starts)
    closing = threading.Thread(target=cluster.close)
    with pytest.raises(RuntimeFailure, match="the fleet was stopped while Ray was starting"):
        cluster.open()
    closing.join()
    assert processes_of(folders[0]) == []
    assert not Path(folders[0]).exists()


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
