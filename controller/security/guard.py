"""All that stands before a fleet's endpoints, read once and checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from controller.security.certificates import Certificates, open_certificates
from controller.tenants import Tenants, tenants_of
from vocabulary.security import Security


@dataclass(frozen=True, slots=True)
class Guard:
    """certificates: None without TLS."""

    tenants: Tenants
    certificates: Certificates | None


def open_guard(security: Security, *, folder: str, environment: Mapping[str, str]) -> Guard:
    """Relative paths start at `folder`. Raises InvalidInput for a file that is not what it should be."""
    return Guard(
        tenants_of(security, folder=folder, environment=environment),
        open_certificates(security.tls, folder=folder),
    )
