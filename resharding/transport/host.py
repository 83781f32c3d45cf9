"""The transport between processes on CPUs: shared memory inside a host, TCP between hosts."""

from __future__ import annotations

from typing import final

from resharding.transport.arena import MAX_ARENA_BYTES, Arena
from resharding.transport.dialing import Call
from resharding.transport.endpoints import Endpoint, this_host
from resharding.transport.exchange import Exchange
from resharding.transport.host_channel import HostChannel, Means
from resharding.transport.pacing import EmulatedNic


@final
class HostTransport:
    """See `interface.Transport`.

    address: of this host, where the others reach it; timeout_s: how long a transfer may stand still before it
    fails; nic: slows what goes to other hosts; host: processes that give the same share memory (default:
    those that can). `arena` gives arrays that others of the host read without a copy on this side.
    """

    def __init__(
        self,
        *,
        address: str = "127.0.0.1",
        timeout_s: float = 30.0,
        nic: EmulatedNic | None = None,
        host: str | None = None,
        max_arena_bytes: int = MAX_ARENA_BYTES,
    ) -> None:
        self.arena = Arena(max_bytes=max_arena_bytes)
        self._host = host or this_host()
        self._nic = nic
        self._timeout_s = timeout_s
        self._exchange = Exchange(address=address, timeout_s=timeout_s, host=self._host, make=self._channel)

    @property
    def num_links(self) -> int:
        """On which others send to this process."""
        return self._exchange.num_links

    def endpoint(self) -> Endpoint:
        """Listens from the first call on."""
        return self._exchange.endpoint()

    def open(self, group: tuple[Endpoint, ...], epoch: int) -> HostChannel:
        """Raises InvalidInput for an epoch that is over, or a group without this process."""
        return self._exchange.open(group, epoch)

    def close(self) -> None:
        """Ends all channels; what peers have mapped stays theirs."""
        self._exchange.close()
        self.arena.close()

    def _channel(self, call: Call) -> HostChannel:
        means = Means(self._host, self._exchange.dialer, self.arena, self._nic, self._timeout_s)
        return HostChannel(call, means)
