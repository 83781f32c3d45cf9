"""Loopback ports that nobody listens on now."""

from __future__ import annotations

import random
import socket

# Below the range from which the kernel takes ports for outgoing connections (32768 on Linux): a cluster
# that is still starting cannot take one of these by chance.
_LOWEST, _HIGHEST = 20_000, 32_000
_NUM_TRIES = 100


def free_ports(count: int) -> range:
    """`count` ports in a row. Raises OSError if none are found."""
    for _ in range(_NUM_TRIES):
        start = random.randrange(_LOWEST, _HIGHEST - count)
        if all(_is_free(port) for port in range(start, start + count)):
            return range(start, start + count)
    raise OSError(f"no {count} free ports in a row between {_LOWEST} and {_HIGHEST}")


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("", port))
        except OSError:
            return False
    return True
