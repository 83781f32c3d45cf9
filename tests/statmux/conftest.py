"""A folder with a short path, for Unix sockets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def desk() -> Iterator[Path]:
    """Not pytest's own: the path of a Unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="desk-") as path:
        yield Path(path)
