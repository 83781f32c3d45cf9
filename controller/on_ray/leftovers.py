"""Folders of a Ray whose keeper was killed together with all that it had started: nobody removed them."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from pathlib import Path

from controller.on_ray.keeper import SOCKET_NAME

FOLDER_PREFIX = "statmux-"


def dead_folders(root: Path) -> list[Path]:
    """This user's, in `root`, whose keeper has listened and does not any more."""
    return [
        folder
        for folder in sorted(root.glob(f"{FOLDER_PREFIX}*"))
        if is_our_folder(folder) and _has_died(folder / SOCKET_NAME)
    ]


def remove_dead_folders(root: Path) -> None:
    for folder in dead_folders(root):
        shutil.rmtree(folder, ignore_errors=True)


def is_our_folder(folder: Path) -> bool:
    """What is written down may be old: only a folder of this user's that looks like ours is touched."""
    return (
        folder.name.startswith(FOLDER_PREFIX)
        and folder.is_dir()
        and not folder.is_symlink()
        and folder.stat().st_uid == os.getuid()
    )


def _has_died(path: Path) -> bool:
    """A socket that is there and refuses: the system has closed it for a process that has ended."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            caller.connect(str(path))
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False
