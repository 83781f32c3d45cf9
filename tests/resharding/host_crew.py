"""A crew whose members have the transport of hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.resharding.transport.crew import Crew
from tests.resharding.transport.rigs import Medium, Outfit


def host_crew(*hosts: str, timeout_s: float = 20.0, nics: Mapping[int, float] | None = None) -> Crew:
    """Members on hosts of these names; nics: bytes a second of a slow port, by number of the member."""
    slow = nics or {}
    return Crew(
        *(Outfit(Medium.HOST, host, Path(), timeout_s, slow.get(number)) for number, host in enumerate(hosts))
    )
