"""Eight virtual CPU devices for tests that import jax; a worker that sets its own number overrides it.

Compiled programs are kept beside the tests, so that of many fleets with one model only the first compiles it.
"""

import os
from pathlib import Path

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
_COMPILED = Path(__file__).resolve().parent.parent / "build" / "compiled"
if os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_COMPILED)) == str(_COMPILED):
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fleets are shared by the tests of a file, one by several files: these stay in one process."""
    for item in items:
        if item.get_closest_marker("cluster"):
            is_shared = "mixed" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("mixed" if is_shared else item.path.stem))
