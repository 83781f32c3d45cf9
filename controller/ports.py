"""Sockets that endpoints listen on, and clear words where one cannot be had."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from enum import Enum

from vocabulary.errors import RuntimeFailure

_BACKLOG = 2048


class Sharing(Enum):
    """Whether other front ends of the fleet listen on the same port, each with connections of its own."""

    ALONE = "alone"
    FIRST = "first"  # nobody listens yet, and others may join
    FURTHER = "further"  # joins the first

    @property
    def shares(self) -> bool:
        return self is not Sharing.ALONE


class PortInUse(RuntimeFailure):
    """Another process listens on the endpoint's port."""


def listen(
    host: str, port: int, *, key: str, flag: str, sharing: Sharing = Sharing.ALONE
) -> list[socket.socket]:
    """One listening socket for every address of `host`, all on one port; 0 is any free one.

    key, flag: how the port is called in the deployment file and on the command line. Raises PortInUse, or
    RuntimeFailure if the address cannot be listened on for another reason.
    """
    if sharing is Sharing.FIRST:
        check_free(host, port, key=key, flag=flag)
    with ExitStack() as stack:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            sockets: list[socket.socket] = []
            for family, kind, protocol, _, address in dict.fromkeys(found):
                each = stack.enter_context(socket.socket(family, kind, protocol))
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if sharing.shares:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound_port = sockets[0].getsockname()[1] if sockets else port
                each.bind((address[0], bound_port, *address[2:]))
                each.listen(_BACKLOG)
                each.setblocking(False)
                sockets.append(each)
        except OSError as error:
            raise refusal_to_listen(error, host, port, key=key, flag=flag) from error
        stack.pop_all()
        return sockets


def check_free(host: str, port: int, *, key: str, flag: str) -> None:
    """Raises as `listen` where somebody listens already, also one who would share the port."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        raise refusal_to_listen(error, host, port, key=key, flag=flag) from error


def refusal_to_listen(error: OSError, host: str, port: int, *, key: str, flag: str) -> RuntimeFailure:
    """What to tell the user."""
    where = f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        hint = f"stop the other process, or choose another port with {flag} or {key}.port"
        return PortInUse(f"another process listens on {where}", hint=hint)
    hint = f"{key}.host must be an address of this machine"
    return RuntimeFailure(f"cannot listen on {where}: {error.strerror or error}", hint=hint)
