"""Finds the control socket of the fleet that a user means."""

from __future__ import annotations

from pathlib import Path

from controller.control import ROOT, socket_path
from vocabulary.errors import InvalidInput, Unreachable


def control_socket(fleet: str | None) -> Path:
    """The named fleet's, else the only one's of this folder. Raises InvalidInput when there are several."""
    if fleet is not None:
        return socket_path(fleet)
    found = sorted(path.parent.name for path in ROOT.glob("*/control.sock"))
    if not found:
        raise Unreachable(
            f"no fleet was started in this folder ({ROOT}/*/control.sock)",
            hint="run this where `statmux serve` runs, or name the fleet with --fleet",
        )
    if len(found) > 1:
        raise InvalidInput(f"several fleets run here: {', '.join(found)}", hint="choose one with --fleet")
    return socket_path(found[0])
