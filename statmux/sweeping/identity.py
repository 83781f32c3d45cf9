"""The name of a study: a hash of all that its points depend on, so that only they are taken up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from vocabulary.deployment import Deployment
from vocabulary.formats.disk import read_bytes

# The rooms whose code decides what a point is.
_ROOMS = ("vocabulary", "scheduling", "simulator", "placement")


def file_identities(paths: Mapping[str, Path | None]) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of every file that is there."""
    return {
        name: {"file": path.name, "sha256": sha256(read_bytes(path)).hexdigest()}
        for name, path in paths.items()
        if path is not None
    }


def run_id(
    deployment: Deployment, *, inputs: Mapping[str, Mapping[str, str]], settings: Mapping[str, object]
) -> str:
    """`capacity-<12 hex digits>`. Sweeps and algorithms are not in it: a longer sweep keeps its points."""
    single = {model.profile_path for model in deployment.models if model.profile_path}
    several = {path for model in deployment.models for path in model.profile_paths.values()}
    profiles = {
        path: sha256(read_bytes(Path(deployment.folder) / path)).hexdigest() for path in single | several
    }
    facts = {
        "deployment": deployment.document,
        "profiles": profiles,
        "inputs": {name: one["sha256"] for name, one in inputs.items()},
        "settings": settings,
        "code": _code_digest(),
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return f"capacity-{sha256(text.encode()).hexdigest()[:12]}"


def _code_digest() -> str:
    root = Path(__file__).parents[2]
    digest = sha256()
    written = (path for room in _ROOMS for path in (root / room).rglob("*.py"))
    # Generated programs are cached beside the source that they follow from.
    for path in sorted(path for path in written if "__pycache__" not in path.parts):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
