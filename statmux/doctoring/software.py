"""Python and the libraries that matter, against the versions that this was tested with."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from statmux.doctoring.finding import Finding, Level

LIBRARIES = ("jax", "jaxlib", "ray", "grpcio", "numpy", "numba", "pyarrow", "pydantic")
MIN_PYTHON = (3, 11)
# statmux is installed as an application, from its checkout: the lock lies beside the code.
LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"


def software_findings() -> Iterator[Finding]:
    """Of the Python that runs this."""
    yield python(sys.version_info[:3])
    installed = {name: _installed(name) for name in LIBRARIES}
    locked = locked_versions(LOCK.read_text()) if LOCK.exists() else {}
    yield from libraries(installed, locked=locked, needed=_needed())


def python(found: Sequence[int]) -> Finding:
    words = ".".join(map(str, found))
    if tuple(found) < MIN_PYTHON:
        return Finding("python", Level.BAD, words, "install Python 3.11 or newer")
    return Finding("python", Level.OK, words)


def libraries(
    installed: Mapping[str, str | None], *, locked: Mapping[str, str], needed: Mapping[str, Requirement]
) -> Iterator[Finding]:
    """locked: tested versions, as far as they are known. needed: what must hold of a version."""
    for name, found in installed.items():
        if found is None:
            yield Finding(name, Level.BAD, "not installed", f"pip install {needed.get(name, name)}")
        elif name in needed and not needed[name].specifier.contains(Version(found), prereleases=True):
            yield Finding(
                name, Level.BAD, f"{found}, not {needed[name].specifier}", f"pip install {needed[name]}"
            )
        elif name in locked and found != locked[name]:
            words = f"{found}, tested with {locked[name]}"
            yield Finding(name, Level.WARN, words, "pip install -r requirements.lock, if something is odd")
        else:
            yield Finding(name, Level.OK, found)


def locked_versions(text: str) -> dict[str, str]:
    """Of a lock file, for this Python and this system."""
    found = {}
    for line in text.splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        try:
            one = Requirement(line.rstrip(" \\"))
        except InvalidRequirement:
            continue
        if one.marker is None or one.marker.evaluate():
            found[one.name] = str(one.specifier).removeprefix("==")
    return found


def _needed() -> dict[str, Requirement]:
    try:
        lines = requires("statmux") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    found = [Requirement(line) for line in lines]
    return {one.name: one for one in found if one.marker is None or one.marker.evaluate()}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
