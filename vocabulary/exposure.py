"""Who can reach a fleet: endpoints beyond this machine need tokens or mutual TLS, or a deliberate flag."""

from __future__ import annotations

from ipaddress import ip_address

from vocabulary.deployment import Deployment
from vocabulary.errors import InvalidInput
from vocabulary.security import ADMIN, METRICS


def check_exposure(deployment: Deployment, *, insecure: bool = False) -> None:
    """Raises InvalidInput when an endpoint would be open to others.

    `insecure` is the user's word that the network itself is safe.
    """
    if insecure or deployment.security.asks_for_certificates:
        return
    for name, host in _hosts(deployment):
        if is_loopback(host):
            continue
        if not deployment.security.asks_for_tokens:
            raise InvalidInput(
                f"{name}: {host} can be reached from other machines, and neither tokens nor mutual TLS is on",
                hint="bind 127.0.0.1, or pass --insecure if the network itself is safe",
            )
        if deployment.security.tls is None:
            raise InvalidInput(
                f"{name}: {host} can be reached from other machines, and tokens would be read on their way",
                hint="add security.tls: {cert, key}, or pass --insecure if a proxy before it ends TLS",
            )
    _check_metrics(deployment)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what binds `host`. Names other than localhost count as open."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False


def _check_metrics(deployment: Deployment) -> None:
    """Beyond this machine they ask for a token as well, and somebody must have one."""
    host = deployment.metrics.host
    scopes = {scope for token in deployment.security.tokens for scope in token.scopes}
    if not is_loopback(host) and not scopes & {ADMIN, METRICS}:
        raise InvalidInput(
            f"observability.metrics.host: {host} can be reached from elsewhere, and no token is for metrics",
            hint="give one `scopes: [metrics]`, or bind 127.0.0.1",
        )


def _hosts(deployment: Deployment) -> tuple[tuple[str, str], ...]:
    http = (("endpoints.http.host", deployment.http.host),) if deployment.http.is_enabled else ()
    return (
        ("endpoints.grpc.host", deployment.grpc.host),
        *http,
        ("observability.metrics.host", deployment.metrics.host),
    )
