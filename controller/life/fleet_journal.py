"""The journal of a fleet: where it is, what it keeps, and what must never stand in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controller.journal import Journal
from controller.life.past import Past
from controller.security.secrets import SecretPlaces
from controller.verbs.control import is_alive, socket_path
from vocabulary.deployment import Deployment
from vocabulary.plan import Plan

# What is shorter stands in ordinary words, too; nobody should be let in with it.
_MIN_SECRET_CHARS = 8


def journal_path(fleet: str) -> Path:
    """In the fleet's own folder, below the one where it was started."""
    return socket_path(fleet).with_name("journal.db")


def journal_of(deployment: Deployment, *, environment: Mapping[str, str]) -> Journal:
    """Not open yet. Secrets of tokens, as they are now, are left out of whatever is written.

    Raises InvalidInput for a secret that is not there.
    """
    return Journal(
        journal_path(deployment.name),
        max_rows=deployment.journal.max_rows,
        requests=deployment.journal.requests,
        hidden=_secrets(deployment, environment),
    )


def _secrets(deployment: Deployment, environment: Mapping[str, str]) -> tuple[str, ...]:
    if deployment.security.auth != "token":
        return ()
    places = SecretPlaces(deployment.security.tokens, folder=deployment.folder, environment=environment)
    return tuple(one.text for one in places.read() if len(one.text) >= _MIN_SECRET_CHARS)


def plan_left(deployment: Deployment) -> Plan | None:
    """What a controller of this fleet that died wanted last; None where none died, or it does not fit."""
    path = journal_path(deployment.name)
    if not path.exists() or is_alive(socket_path(deployment.name)):
        return None
    journal = Journal(path)
    journal.open()
    try:
        return Past(journal).plan(deployment)
    finally:
        journal.close()
