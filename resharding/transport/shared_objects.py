"""Finds libraries of a GPU that are loaded by name: in the wheels of jax[cuda], or where the system looks."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from vocabulary.errors import RuntimeFailure

_HINT = (
    "install jax with CUDA (pip install 'jax[cuda12]' or 'jax[cuda13]'), or put it where ldconfig finds it"
)


def load(names: Sequence[str]) -> ctypes.CDLL:
    """The first of `names` that loads: as it stands, from a wheel, or by the system's loader.

    Raises RuntimeFailure with what was tried.
    """
    tried = []
    for name in names:
        for path in (*_in_wheels(name), name):
            try:
                return ctypes.CDLL(path)
            except OSError as error:
                tried.append(str(error))
    raise RuntimeFailure(f"none of {', '.join(names)} can be loaded ({'; '.join(tried)})", hint=_HINT)


def declare(
    library: ctypes.CDLL, prototypes: dict[str, tuple[type, ...]], *, result: type = ctypes.c_int
) -> None:
    """Tells ctypes the arguments of functions. Raises RuntimeFailure if the library lacks one."""
    for name, arguments in prototypes.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise RuntimeFailure(f"{library._name} has no {name}: it is too old", hint=_HINT) from None
        function.argtypes = arguments
        function.restype = result


def _in_wheels(name: str) -> list[str]:
    """NVIDIA's wheels lie in one namespace package: nvidia/<part>/lib."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec is not None else None
    return [str(path) for folder in folders or () for path in sorted(Path(folder).glob(f"*/lib/{name}"))]
