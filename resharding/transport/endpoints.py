"""Where a process is reached, and by whom."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Published to those who may call: whoever has it may send.

    host: equal where memory can be shared. local_name: of the abstract socket there; empty if there is none.
    """

    host: str
    address: str
    port: int
    local_name: str
    key: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.address}:{self.port} on {self.host}"


def group_key(group: tuple[Endpoint, ...]) -> bytes:
    """The same for everybody who opens the same group."""
    fields = [(one.host, one.address, one.port, one.local_name, one.key.hex()) for one in group]
    return hashlib.sha256(repr(fields).encode()).digest()[:KEY_BYTES]


def this_host() -> str:
    """Processes that see the same name can share memory: one kernel, and one namespace of sockets."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}-{boot[:8]}-{namespace}"
