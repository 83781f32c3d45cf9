"""What moving bytes costs: alpha-beta links between hosts and inside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vocabulary.mesh import Cluster

# Of a network that nobody described.
_NIC_BYTES_PER_S, _INTRA_BYTES_PER_S, _LATENCY_S = 12.5e9, 100e9, 10e-6


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


def network_of(cluster: Cluster) -> Network:
    """The cluster's own links; 100Gb/s between hosts and 100GB/s inside, where it does not say."""
    links = cluster.links
    is_said = math.isfinite(links.inter_node_bytes_per_s)
    return Network(
        links.inter_node_bytes_per_s if is_said else _NIC_BYTES_PER_S,
        links.intra_node_bytes_per_s if math.isfinite(links.intra_node_bytes_per_s) else _INTRA_BYTES_PER_S,
        links.inter_node_latency_s if is_said else _LATENCY_S,
    )
