"""Finds the control socket and the journal of the fleet that a user means."""

from __future__ import annotations

from pathlib import Path

from controller.verbs.control import ROOT, is_alive, socket_path
from vocabulary.errors import InvalidInput, Unreachable

JOURNAL_FILE = "journal.db"


def control_socket(fleet: str | None) -> Path:
    """The named fleet's, else the only one's of this folder. Raises InvalidInput when several live."""
    if fleet is not None:
        return socket_path(_checked(fleet))
    found = sorted(path.parent.name for path in ROOT.glob("*/control.sock"))
    if not found:
        raise Unreachable(
            f"no fleet was started in this folder ({ROOT}/*/control.sock)",
            hint="run this where `statmux serve` runs, or name the fleet with --fleet",
        )
    # A fleet that was killed leaves its socket.
    alive = [name for name in found if is_alive(socket_path(name))] if len(found) > 1 else found
    if len(alive) > 1:
        raise InvalidInput(f"several fleets run here: {', '.join(alive)}", hint="choose one with --fleet")
    return socket_path((alive or found)[0])


def journal_path(fleet: str | None) -> Path:
    """The named fleet's journal, else the only one of this folder, or the only one whose fleet lives.

    Raises InvalidInput when that leaves several, Unreachable when there is none.
    """
    if fleet is not None:
        return ROOT / _checked(fleet) / JOURNAL_FILE
    found = sorted(path.parent.name for path in ROOT.glob(f"*/{JOURNAL_FILE}"))
    if not found:
        raise Unreachable(
            f"no fleet has kept a journal in this folder ({ROOT}/*/{JOURNAL_FILE})",
            hint="run this where `statmux serve` ran, or name the fleet with --fleet",
        )
    alive = [name for name in found if is_alive(socket_path(name))] if len(found) > 1 else found
    if len(alive) != 1:
        several = ", ".join(alive or found)
        raise InvalidInput(f"several fleets kept journals here: {several}", hint="choose one with --fleet")
    return ROOT / alive[0] / JOURNAL_FILE


def _checked(fleet: str) -> str:
    """The name, which is no path to another folder."""
    if fleet in ("", ".", "..") or "/" in fleet:
        raise InvalidInput(f"--fleet: {fleet!r} is no name of a fleet", hint="give its metadata.name")
    return fleet
