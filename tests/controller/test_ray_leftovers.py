"""What a keeper that was killed could not remove is removed by the next start, and nothing else."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.on_ray.keeper import SOCKET_NAME
from controller.on_ray.leftovers import dead_folders, remove_dead_folders


@pytest.fixture
def root() -> Iterator[Path]:
    """Paths of sockets are limited to 107 bytes, and those of pytest are long."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def listening(folder: Path) -> socket.socket:
    folder.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET_NAME))
    listener.listen()
    return listener


def test_a_folder_goes_when_its_keeper_does_not_listen_any_more(root: Path):
    dead = listening(root / "statmux-dead")
    with listening(root / "statmux-alive"):
        dead.close()
        assert dead_folders(root) == [root / "statmux-dead"]
        remove_dead_folders(root)
        assert [one.name for one in root.iterdir()] == ["statmux-alive"]


def test_what_never_had_a_keeper_stays(root: Path):
    (root / "statmux-starting").mkdir()
    (root / "statmux-file").write_text("")
    listening(root / "other").close()
    (root / "statmux-link").symlink_to(root / "other")
    assert dead_folders(root) == []
