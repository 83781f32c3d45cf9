"""Who can reach a fleet: endpoints beyond this machine need tokens or mutual TLS, or a deliberate flag."""

from __future__ import annotations

from ipaddress import ip_address

from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput

# What this version enforces. TLS and what a token is limited to are read from the file, and do not count yet.
ENFORCED: frozenset[str] = frozenset({"tokens"})


def check_exposure(
    deployment: Deployment, *, insecure: bool = False, enforced: frozenset[str] = ENFORCED
) -> None:
    """Raises InvalidInput when an endpoint would be open to others, or when asked-for security is not there.

    `insecure` is the user's word that the network itself is safe; it lifts both.
    """
    if insecure:
        return
    for asked, path in _asked(deployment):
        if asked not in enforced:
            raise InvalidInput(
                f"{path} asks for {asked}, which this version does not enforce yet",
                hint="remove it and stay on 127.0.0.1, or pass --insecure to serve without it",
            )
    if _protections(deployment) & enforced:
        return
    for name, host in _hosts(deployment):
        if not is_loopback(host):
            raise InvalidInput(
                f"{name}: {host} can be reached from other machines, and neither tokens nor mutual TLS is on",
                hint="bind 127.0.0.1, or pass --insecure if the network itself is safe",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what binds `host`. Names other than localhost count as open."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _hosts(deployment: Deployment) -> tuple[tuple[str, str], ...]:
    http = (("endpoints.http.host", deployment.http.host),) if deployment.http.is_enabled else ()
    return (
        ("endpoints.grpc.host", deployment.grpc.host),
        *http,
        ("observability.metrics.host", deployment.metrics.host),
    )


def _protections(deployment: Deployment) -> frozenset[str]:
    security = deployment.security
    tokens = {"tokens"} if security.auth == "token" and security.tokens else set()
    return frozenset(tokens | ({"mutual TLS"} if security.client_ca else set()))


def _asked(deployment: Deployment) -> tuple[tuple[str, str], ...]:
    security = deployment.security
    asked = []
    if security.auth == "token":
        asked.append(("tokens", "security.auth.mode"))
        if any(token.models is not None for token in security.tokens):
            asked.append(("tokens for some models only", "security.auth.tokens[].models"))
    if security.client_ca:
        asked.append(("mutual TLS", "security.tls.client_ca"))
    elif security.certificate:
        asked.append(("TLS", "security.tls.cert"))
    return tuple(asked)
