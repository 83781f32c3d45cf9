"""What every transport offers: endpoints to publish, channels between a group of them, transfers by tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

E = TypeVar("E")

# Memory of a transfer: an array, or several whose bytes follow each other. C-contiguous; of which device and
# library is the transport's affair (numpy for hosts, DeviceBuffer for GPUs).
Buffer = Any


class Work(Protocol):
    """A transfer under way. Its memory is in use until `wait` has returned, or raised."""

    @property
    def is_done(self) -> bool: ...

    def wait(self) -> None:
        """Until all of it has arrived (at all receivers); raises TransferFailed."""


class Channel(Protocol):
    """Between the members of a group, each named by its place in the group.

    Two members issue the transfers between them in one order; all members issue transfers that wait for each
    other in one order. One transfer that fails ends the channel: every pending one fails with it, here and
    soon at every peer.
    """

    def send(self, buffer: Buffer, *, to: int, tag: int, after: Sequence[Work] = ()) -> Work:
        """Starts when the sends before it have left and all of `after` (receives) have arrived."""

    def recv(self, buffer: Buffer, *, frm: int, tag: int) -> Work: ...

    def multicast(self, buffer: Buffer, *, chain: Sequence[int], chunk_bytes: int, tag: int) -> Work:
        """From the first of the chain to all others; every one of them calls this with the same arguments.

        Done when the last has it all.
        """

    def abort(self) -> None:
        """Every pending transfer fails, here and at the peers. For any thread."""

    def close(self) -> None:
        """When all transfers are done; keeps what the next channel can use again. Pending ones fail."""


class Transport(Protocol[E]):
    """One per process."""

    def endpoint(self) -> E:
        """Where others reach this process; can be pickled."""

    def open(self, group: tuple[E, ...], epoch: int) -> Channel:
        """The channel of a group that this process belongs to; every member calls it with the same arguments.

        The same again gives the same channel. A higher epoch ends the group's channel of a lower one, and
        what arrives from another epoch is refused.
        """

    def close(self) -> None: ...
