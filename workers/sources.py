"""Where the files of a model lie, and JSON among them. No jax: the controller reads here, too."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vocabulary.errors import InvalidInput


def directory_of(source: str, *, base_dir: Path) -> Path | None:
    """The folder that a source means, there or not; None for random weights.

    Raises InvalidInput for an unknown scheme, or a package that is not installed.
    """
    return None if source.startswith("random://") else _directory_of(source, base_dir)


def in_its_folder(path: Path) -> Path:
    """The path itself. Raises InvalidInput if it is a link to something outside its folder.

    The cache of huggingface_hub keeps files in `blobs`, beside the folders of `snapshots` that link to them.
    """
    folder = path.parent.resolve()
    snapshots = (parent for parent in folder.parents if parent.name == "snapshots")
    homes = [folder, *(parent.parent / "blobs" for parent in snapshots)]
    target = path.resolve()
    if any(target.is_relative_to(home) for home in homes):
        return path
    raise InvalidInput(
        f"{path.name} is a link that leads out of its folder, to {target}",
        where=str(path),
        hint="copy the file there: a checkpoint is read from its own folder only",
    )


def read_json(path: Path) -> dict[str, object]:
    """A JSON object. Raises InvalidInput if the file is missing or holds anything else."""
    value = read_json_value(path)
    if not isinstance(value, dict):
        raise InvalidInput("not a JSON object", where=str(path))
    return value


def read_json_value(path: Path) -> object:
    """Any JSON. Raises InvalidInput if the file is missing or is not JSON."""
    if not path.is_file():
        raise InvalidInput(f"there is no {path.name}", where=str(path.parent))
    try:
        return json.loads(in_its_folder(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"not JSON: {error}", where=str(path)) from error


def _directory_of(source: str, base_dir: Path) -> Path:
    scheme, separator, _ = source.partition("://")
    match scheme if separator else "":
        case "":
            return base_dir / Path(source).expanduser()
        case "file":
            url = urlsplit(source)
            if url.netloc not in ("", "localhost"):
                raise InvalidInput(f"{url.netloc!r} is a host; write file:///path", where=source)
            return base_dir / unquote(url.path)
        case "package":
            return _package_directory(source)
    raise InvalidInput(
        f"unknown scheme {scheme!r}", where=source, hint="use a path, file://, package:// or random://"
    )


def _package_directory(source: str) -> Path:
    """The folder of an installed package, found without importing it."""
    name, _, inside = source.removeprefix("package://").partition("/")
    # A dotted name would import its parent packages.
    spec = find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InvalidInput(f"no package {name!r} is installed", where=source)
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    directory = (root / inside).resolve()
    if not directory.is_relative_to(root):
        raise InvalidInput(f"{inside!r} leads out of package {name}", where=source)
    return directory
