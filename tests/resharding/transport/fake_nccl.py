"""Builds `fake_nccl.c`: NCCL and CUDA over memory of the host, called through ctypes as the real ones are."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

NAME = "libfake_nccl.so"


@cache
def compiled(folder: Path) -> str | None:
    """The library lies in `folder` afterwards; else why not."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        return "no C compiler (cc, gcc or clang) to build the fake NCCL with"
    source = Path(__file__).with_suffix(".c")
    order = [compiler, "-O1", "-Wall", "-shared", "-fPIC", "-pthread", "-o", str(folder / NAME), str(source)]
    done = subprocess.run(order, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return None


def load(folder: Path) -> ctypes.CDLL:
    """Of its own for each folder; communicators meet there."""
    os.environ["FAKE_NCCL_FOLDER"] = str(folder)
    return ctypes.CDLL(str(folder / NAME))


class Fake:
    """What a test says to the library, and asks it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def fail(self, name: str, code: int, *, after: int = 0) -> None:
        """The call after so many good ones returns `code`, once."""
        self._library.fake_fail(name.encode(), code, after)

    def stall(self, is_stalled: bool) -> None:
        """The device does nothing more, until a communicator is aborted."""
        self._library.fake_stall(int(is_stalled))

    def stick(self, is_stuck: bool) -> None:
        """The device goes on even with what was aborted."""
        self._library.fake_stick(int(is_stuck))

    def num_calls(self, name: str) -> int:
        return self._library.fake_calls(name.encode())

    def alive(self) -> dict[str, int]:
        """What was made and not given back."""
        return {
            what: self._library.fake_live(what.encode())
            for what in ("communicator", "stream", "event", "memory")
        }
