"""A fleet's secrets: a file for its owner only, so that a controller that comes back is let in again."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from controller.verbs.control import ROOT
from vocabulary.errors import InvalidInput, RuntimeFailure

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, repr=False)
class FleetKeys:
    """fleet_key: of the data path to the workers. ray_token: of a Ray that the fleet starts itself."""

    fleet_key: str
    ray_token: str

    def __repr__(self) -> str:
        return "FleetKeys(not shown)"


def new_keys() -> FleetKeys:
    """In no file yet: a fleet with these cannot be taken over."""
    return FleetKeys(secrets.token_hex(_KEY_BYTES), secrets.token_hex(_KEY_BYTES))


def keys_path(fleet: str) -> Path:
    return ROOT / fleet / "keys.json"


def ensure_keys(fleet: str) -> FleetKeys:
    """Those of the file, else new ones, which are in the file then.

    Raises InvalidInput for a file that others may read, or that is none of ours; RuntimeFailure where none
    can be written.
    """
    return read_keys(fleet) or _write(keys_path(fleet), new_keys())


def read_keys(fleet: str) -> FleetKeys | None:
    """None where there is no file. Raises InvalidInput as `ensure_keys` does."""
    path = keys_path(fleet)
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(f"cannot read the keys of the fleet: {error.strerror}", where=str(path)) from error
    if mode & 0o077:
        hint = f"others may know the keys: stop the fleet, then remove the file (or: chmod 600 {path})"
        raise InvalidInput(
            f"the keys of the fleet may be read by others (mode {mode & 0o777:o})", where=str(path), hint=hint
        )
    return _parsed(text, path)


def forget_keys(fleet: str) -> None:
    """After the end of the fleet: nobody has a use for them."""
    keys_path(fleet).unlink(missing_ok=True)


def _parsed(text: bytes, path: Path) -> FleetKeys:
    try:
        words = json.loads(text)
        keys = FleetKeys(words["fleet_key"], words["ray_token"])
        if not all(isinstance(one, str) and one for one in (keys.fleet_key, keys.ray_token)):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        # What the file holds is not told: it may be a secret of something else.
        raise InvalidInput(
            "this file does not hold the keys of a fleet", where=str(path), hint="remove it"
        ) from None
    return keys


def _write(path: Path, keys: FleetKeys) -> FleetKeys:
    """Whole or not at all, and never readable by others."""
    unfinished = path.with_suffix(f".{os.getpid()}")
    text = json.dumps({"fleet_key": keys.fleet_key, "ray_token": keys.ray_token}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RuntimeFailure(
            f"cannot write the keys of the fleet to {path}: {error.strerror}",
            hint="start it in a folder that you may write to",
        ) from error
    return keys
