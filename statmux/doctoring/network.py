"""Whether the ports of a fleet are free, or taken by itself."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping

from statmux.doctoring.finding import Finding, Level

_FLAGS = {"gRPC": "--port", "HTTP": "--http-port", "metrics": "--metrics-port"}


def port_findings(
    endpoints: Mapping[str, tuple[str, int]], *, taken_by: Mapping[int, str]
) -> Iterator[Finding]:
    """endpoints: name -> (host, port). taken_by: fleets of this folder that live, by port."""
    for name, (host, port) in endpoints.items():
        topic = f"{name} port"
        if port == 0:
            yield Finding(topic, Level.OK, "any free one")
        elif port in taken_by:
            yield Finding(topic, Level.OK, f"{port}, where fleet {taken_by[port]} answers")
        else:
            yield _of_one(topic, host, port, _FLAGS.get(name, "its key in the deployment"))


def _of_one(topic: str, host: str, port: int, flag: str) -> Finding:
    error = bind_error(host, port)
    match error:
        case None:
            return Finding(topic, Level.OK, f"{port} on {host} is free")
        case OSError(errno=errno.EADDRINUSE):
            remedy = f"end what listens there, or choose another port ({flag})"
            return Finding(topic, Level.BAD, f"{port} on {host} is taken", remedy)
        case OSError():
            remedy = f"choose a host of this machine, and a port that you may use ({flag})"
            return Finding(topic, Level.BAD, f"{port} on {host}: {error.strerror or error}", remedy)


def bind_error(host: str, port: int) -> OSError | None:
    """What a server would meet there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None
