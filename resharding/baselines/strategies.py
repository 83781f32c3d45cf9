"""How long one task takes under each of the paper's four strategies (alpha-beta model, section 3 there).

t = bytes / port speed, A receiver hosts, m devices on each, latency alpha a message:
send_recv: a unicast to every device; local_allgather: a share to every device, exchanged inside the hosts;
global_allgather: the shares of one copy, exchanged by all; broadcast: K chunks down a chain of hosts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from resharding.baselines.tasks import Task
from resharding.network import Network

# Chunks of a broadcast where latency does not bound them.
MAX_CHUNKS = 64
Strategy = Callable[[Task, Network], float]


def send_recv(task: Task, network: Network) -> float:
    return task.num_devices * network.message_s(task.num_bytes)


def local_allgather(task: Task, network: Network) -> float:
    across_s = len(task.receivers) * task.num_bytes / network.host_bytes_per_s
    return across_s + task.num_devices * network.latency_s + _gather_inside_s(task, network)


def global_allgather(task: Task, network: Network) -> float:
    num_hosts = len(task.receivers)
    once_s = task.num_bytes / network.host_bytes_per_s
    messages_s = (2 * task.num_devices - 1) * network.latency_s
    return once_s * (2 - 1 / num_hosts) + messages_s + _gather_inside_s(task, network)


def broadcast(task: Task, network: Network) -> float:
    num_chunks = best_chunks(task, network)
    chunk_bytes = task.num_bytes / num_chunks
    rounds = num_chunks + len(task.receivers) - 1
    inside_s = (max(task.receivers.values()) - 1) * chunk_bytes / network.intra_bytes_per_s
    return rounds * network.message_s(chunk_bytes) + inside_s


def best_chunks(task: Task, network: Network) -> int:
    """K = sqrt((A - 1) s / (alpha B)): the fill of the chain against a latency for each chunk."""
    if network.latency_s == 0:
        return MAX_CHUNKS
    once_s = task.num_bytes / network.host_bytes_per_s
    best = math.sqrt((len(task.receivers) - 1) * once_s / network.latency_s)
    return max(1, min(MAX_CHUNKS, round(best)))


def _gather_inside_s(task: Task, network: Network) -> float:
    devices = max(task.receivers.values())
    return (devices - 1) / devices * task.num_bytes / network.intra_bytes_per_s


STRATEGIES: dict[str, Strategy] = {
    "send_recv": send_recv,
    "local_allgather": local_allgather,
    "global_allgather": global_allgather,
    "broadcast": broadcast,
}
