"""Generated programs, compiled once: their texts lie where numba keeps what it compiled of `fast_kernel`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numba

from simulator.fast_kernel import replay as kernel

_loaded: dict[str, Callable[..., Any]] = {}


def compiled(text: str, *, inlined: Sequence[ModuleType]) -> Callable[..., Any]:
    """The function `replay` that the program defines, compiled at its first call unless that is on disk.

    inlined: modules whose functions the program takes in; numba does not see when they change.
    """
    assert "cache=True" in text, "a program asks numba to keep it"
    if text not in _loaded:
        _loaded[text] = _from_disk(text, inlined) or _from_text(text.replace("cache=True", "cache=False"))
    return _loaded[text]


def _from_disk(text: str, inlined: Sequence[ModuleType]) -> Callable[..., Any] | None:
    """None where nothing can be written."""
    parts = [numba.__version__, text, *(Path(str(module.__file__)).read_text() for module in inlined)]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    path = Path(str(kernel.stats.cache_path)) / f"program_{key}.py"
    try:
        if not path.exists():
            _write(path, text)
        return _imported(path)
    except (OSError, RuntimeError):  # RuntimeError: numba found no folder to write to
        return None


def _write(path: Path, text: str) -> None:
    """All or nothing, and with one time stamp for all writers: numba drops what it kept of another stamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".py")
    with os.fdopen(handle, "w") as file:
        file.write(text)
    os.utime(name, (0, 0))
    os.replace(name, path)


def _imported(path: Path) -> Callable[..., Any]:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None, path
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module  # numba looks it up by name when it loads what it kept
    specification.loader.exec_module(module)
    return module.replay


def _from_text(text: str) -> Callable[..., Any]:
    names: dict[str, Callable[..., Any]] = {}
    exec(compile(text, "<program>", "exec"), names)
    return names["replay"]
