"""A capacity study read back from the folder that `statmux capacity --out` left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from statmux.render import SCHEMA_VERSION
from vocabulary.errors import InvalidInput
from vocabulary.formats.disk import read_text

STUDY_FILE = "capacity.json"
KIND = "CapacityRecord"
# What the page cannot be drawn without.
_KEYS = frozenset({
    "deployment", "settings", "provenance", "cluster", "traffic", "verdict", "base", "sweeps", "head_room",
    "minimized",
})  # fmt: skip


def is_study(folder: Path) -> bool:
    """Whether the folder has a study, not a run record."""
    return (folder / STUDY_FILE).is_file()


def read_study(folder: Path) -> Mapping[str, Any]:
    """The JSON document. Raises InvalidInput when it is none of a study."""
    path = folder / STUDY_FILE
    hint = "make it again with `statmux capacity --out FOLDER`"
    try:
        document = json.loads(read_text(path))
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}", where=str(path), hint=hint) from None
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise InvalidInput(f"not of kind {KIND}", where=str(path), hint=hint)
    version = document.get("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        message = f"schema_version is {version}, and this statmux reads {SCHEMA_VERSION}"
        raise InvalidInput(message, where=str(path), hint=hint)
    missing = sorted(_KEYS - document.keys())
    if missing:
        raise InvalidInput(f"there is no {', '.join(missing)}", where=str(path), hint=hint)
    return document
