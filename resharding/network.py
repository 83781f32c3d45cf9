"""What moving bytes costs: alpha-beta links between hosts and inside them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Network:
    """Hosts on a switch that never blocks, each with `num_nics` equal ports, striped.

    nic_bytes_per_s: of one port, each way; intra_bytes_per_s: of a device's link inside its host; latency_s:
    of one message between hosts. Half duplex: a port sends or receives, not both at once.
    """

    nic_bytes_per_s: float
    intra_bytes_per_s: float = 100e9
    latency_s: float = 10e-6
    num_nics: int = 1
    is_full_duplex: bool = True

    @property
    def host_bytes_per_s(self) -> float:
        """A message is striped over all ports of its host."""
        return self.nic_bytes_per_s * self.num_nics

    def message_s(self, num_bytes: float) -> float:
        """One message between two hosts whose ports are free."""
        return self.latency_s + num_bytes / self.host_bytes_per_s
