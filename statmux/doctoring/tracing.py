"""Whether traces can be made where a deployment asks for them, and whether a collector is there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from statmux.doctoring.finding import Finding, Level

if TYPE_CHECKING:
    from vocabulary.deployment import Deployment

_TOPIC = "traces"
_CONNECT_TIMEOUT_S = 1.0


def tracing_findings(deployment: Deployment | None) -> Iterator[Finding]:
    """Nothing of a deployment that asks for no traces. Knocks at the collector's port."""
    from controller.tracing.extra import PACKAGES, missing
    from vocabulary.tracing import HOW_TO_INSTALL

    endpoint = None if deployment is None else deployment.tracing.otlp_endpoint
    if deployment is None or endpoint is None:
        return
    lacking = missing(PACKAGES)
    if lacking:
        yield Finding(_TOPIC, Level.BAD, f"{' and '.join(lacking)} is not installed", HOW_TO_INSTALL)
        return
    share = f"{deployment.tracing.sample_ratio:g} of the requests without a trace"
    words = f"{share} to {endpoint}, by opentelemetry-sdk {version('opentelemetry-sdk')}"
    why = connect_error(endpoint)
    if why:
        remedy = (
            "start the collector, or mend observability.tracing.otlp_endpoint; until then they are dropped"
        )
        yield Finding(_TOPIC, Level.WARN, f"{words}; it does not answer: {why}", remedy)
    else:
        yield Finding(_TOPIC, Level.OK, words)


def connect_error(endpoint: str) -> str:
    """Why nobody can be reached there, "" if somebody can."""
    parts = urlsplit(endpoint)
    assert parts.hostname is not None, endpoint
    try:
        with socket.create_connection((parts.hostname, parts.port or 0), _CONNECT_TIMEOUT_S):
            return ""
    except OSError as error:
        return error.strerror or str(error)
