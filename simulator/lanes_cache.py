"""Generated programs, compiled once: their sources lie beside what numba keeps of the scalar kernel."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numba

from simulator import lanes_vectors
from simulator.fast_kernel import replay as scalar_replay
from simulator.lanes_source import Kernel, source_of

_loaded: dict[Kernel, Callable] = {}


def compiled(kernel: Kernel) -> Callable:
    """The program's `replay`, a numba dispatcher; compiled at its first call unless it is on disk."""
    if kernel not in _loaded:
        _loaded[kernel] = _from_disk(kernel) or _from_text(source_of(kernel, is_cached=False))
    return _loaded[kernel]


def _from_disk(kernel: Kernel) -> Callable | None:
    """None where nothing can be written."""
    text = source_of(kernel, is_cached=True)
    # Programs inline lanes_vectors, whose changes numba does not see.
    inlined = Path(lanes_vectors.__file__).read_bytes()
    key = hashlib.sha256(b"\0".join((text.encode(), inlined, numba.__version__.encode()))).hexdigest()[:16]
    folder = scalar_replay.stats.cache_path
    if folder is None:
        return None
    path = Path(folder) / f"lanes_{key}.py"
    try:
        if not path.exists():
            _write(path, text)
        return _imported(path)
    except (OSError, RuntimeError):  # numba's word for no folder to write to is RuntimeError
        return None


def _write(path: Path, text: str) -> None:
    """All or nothing, and with one time stamp for all writers: numba drops what it kept of another stamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".py")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.utime(name, (0, 0))
    os.replace(name, path)


def _imported(path: Path) -> Callable:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None, path
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.replay


def _from_text(text: str) -> Callable:
    names: dict[str, Callable] = {}
    exec(compile(text, "<lanes>", "exec"), names)
    return names["replay"]
