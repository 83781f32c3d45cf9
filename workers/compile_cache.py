"""Where compiled programs are kept between starts, so that only the first start of a model compiles it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_FOLDER = "JAX_COMPILATION_CACHE_DIR"


def compile_cache_environment(inherited: Mapping[str, str]) -> Mapping[str, str]:
    """What makes jax keep them, to be set before it is imported: the user's own choice, else ours.

    Ours is statmux/compiled in the user's folder of caches. An empty JAX_COMPILATION_CACHE_DIR keeps nothing.
    """
    if _FOLDER in inherited:
        return {}
    caches = inherited.get("XDG_CACHE_HOME") or str(
        Path(inherited.get("HOME") or "~").expanduser() / ".cache"
    )
    return {
        _FOLDER: str(Path(caches) / "statmux" / "compiled"),
        # Small programs too: a model that generates has dozens, and each takes a second.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
