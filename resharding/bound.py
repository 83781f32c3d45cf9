"""How long moving some classes takes at the least, and the split over replicas that would take so long.

Every byte of a class with A receivers is sent A times, at least once by a host that held it at first; who
sends the rest is free. The busiest port's load, minimised by a linear program, bounds every schedule from
below in which only hosts that hold or lack a byte send it, whatever that splits, chunks or relays. With
disjoint meshes and full duplex ports the program is about first exits only and the bound is tight: in a chain
through the receivers none sends more than it receives. Half duplex ports have odd sets besides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack

from resharding.classes import TransferClass
from resharding.network import Network
from resharding.odd_sets import odd_set_bytes

# The second program may be so much above the first's optimum: what the solver calls equal.
_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Split:
    """seconds: the bound between hosts, latency left out.

    sent_bytes[k][host]: what each sender, and each receiver, of class k sends of it.
    """

    seconds: float
    sent_bytes: tuple[dict[int, float], ...]


def best_split(classes: Sequence[TransferClass], network: Network) -> Split:
    """The split whose busiest port is least busy; of those, one nearest to plain chains."""
    if not classes:
        return Split(0.0, ())
    if network.is_full_duplex and _are_disjoint(classes):
        return _first_exits_only(classes, network)
    program = _Program(classes, network)
    load_bytes = max(program.least_load, float(program.received.max())) * program.scale
    if not network.is_full_duplex:
        load_bytes = max(load_bytes, odd_set_bytes(classes))
    return Split(load_bytes / network.host_bytes_per_s, program.shares())


def _are_disjoint(classes: Sequence[TransferClass]) -> bool:
    senders = {host for one in classes for host in one.senders}
    return senders.isdisjoint(host for one in classes for host in one.receivers)


def _first_exits_only(classes: Sequence[TransferClass], network: Network) -> Split:
    """Receivers pass everything on in one chain, last to none; only who sends first is to be chosen."""
    alone = [replace(one, receivers=one.receivers[:1]) for one in classes]
    program = _Program(alone, network)
    received: dict[int, int] = defaultdict(int)
    for one in classes:
        for host in one.receivers:
            received[host] += one.num_bytes
    chains = tuple(
        {host: shares[host] for host in one.senders}
        | dict.fromkeys(one.receivers[:-1], float(one.num_bytes))
        | {one.receivers[-1]: 0.0}
        for one, shares in zip(classes, program.shares(), strict=True)
    )
    load_bytes = max(program.least_load * program.scale, max(received.values()))
    return Split(load_bytes / network.host_bytes_per_s, chains)


class _Program:
    """Variables: what each sender, then each receiver, of each class sends, in units of `scale` bytes."""

    def __init__(self, classes: Sequence[TransferClass], network: Network) -> None:
        self._classes = classes
        self._hosts = sorted({host for one in classes for host in (*one.senders, *one.receivers)})
        column = {host: number for number, host in enumerate(self._hosts)}
        received = np.zeros(len(self._hosts))
        for one in classes:
            received[[column[host] for host in one.receivers]] += one.num_bytes
        # Numbers near 1 keep the solver exact.
        self.scale = float(received.max()) or 1.0
        self.received: NDArray[np.float64] = received / self.scale
        self._taken = np.zeros(len(self._hosts)) if network.is_full_duplex else self.received
        members = [(*one.senders, *one.receivers) for one in classes]
        self._starts = [0, *accumulate(len(hosts) for hosts in members)]
        self._ports = np.array([column[host] for hosts in members for host in hosts])
        self._of_class = np.repeat(np.arange(len(classes)), [len(hosts) for hosts in members])
        is_sender = [
            i < len(one.senders) for one in classes for i in range(len(one.senders) + len(one.receivers))
        ]
        self._is_sender = np.array(is_sender)
        self._bytes = np.array([one.num_bytes for one in classes]) / self.scale
        self._copies = np.array([len(one.receivers) for one in classes])
        self.least_load = self._solve_load()

    def shares(self) -> tuple[dict[int, float], ...]:
        sent = (self._chained() * self.scale).tolist()
        return tuple(
            dict(zip((*one.senders, *one.receivers), sent[start:stop], strict=True))
            for one, start, stop in zip(self._classes, self._starts[:-1], self._starts[1:], strict=True)
        )

    def _solve_load(self) -> float:
        """Of the busiest port: what it sends, and takes if it cannot do both."""
        last = csr_array(-np.ones((len(self._hosts), 1)))
        cost = np.zeros(len(self._ports) + 1)
        cost[-1] = 1.0
        found = linprog(
            cost,
            A_ub=_wide(self._port_rows(), last, self._first_exits()),
            b_ub=np.concatenate([-self._taken, -self._bytes]),
            A_eq=hstack([self._all_sends(), csr_array((len(self._classes), 1))]).tocsr(),
            b_eq=self._bytes * self._copies,
            bounds=[(0.0, limit) for limit in self._limits()] + [(0.0, None)],
        )
        assert found.status == 0 and found.x is not None, found.message
        return float(found.x[-1])

    def _chained(self) -> NDArray[np.float64]:
        """Within the least load, the fewest first exits, and receivers that relay a byte at most once."""
        relays = np.flatnonzero(~self._is_sender)
        number = len(self._classes)
        most = csr_array(
            (np.ones(len(relays)), (np.arange(len(relays)), relays)), shape=(len(relays), len(self._ports))
        )
        busiest = csr_array(
            (-np.ones(len(relays)), (np.arange(len(relays)), self._of_class[relays])),
            shape=(len(relays), number),
        )
        load = max(self.least_load, float((self._taken).max()), float(self.received.max())) * (1 + _SLACK)
        none = csr_array((len(self._hosts), number))
        no_exits = csr_array((number, number))
        found = linprog(
            np.concatenate([self._is_sender.astype(float), np.ones(number)]),
            A_ub=vstack(
                [
                    hstack([self._port_rows(), none]),
                    hstack([-self._first_exits(), no_exits]),
                    hstack([most, busiest]),
                ]
            ).tocsr(),
            b_ub=np.concatenate([load - self._taken, -self._bytes, self._bytes[self._of_class[relays]]]),
            A_eq=hstack([self._all_sends(), no_exits]).tocsr(),
            b_eq=self._bytes * self._copies,
            bounds=[(0.0, limit) for limit in self._limits()] + [(0.0, None)] * number,
        )
        assert found.status == 0 and found.x is not None, found.message
        return np.maximum(found.x[: len(self._ports)], 0.0)

    def _port_rows(self) -> csr_array:
        number = len(self._ports)
        shape = (len(self._hosts), number)
        return csr_array((np.ones(number), (self._ports, np.arange(number))), shape=shape)

    def _first_exits(self) -> csr_array:
        return self._class_rows(np.flatnonzero(self._is_sender))

    def _all_sends(self) -> csr_array:
        return self._class_rows(np.arange(len(self._ports)))

    def _class_rows(self, variables: NDArray[np.int64]) -> csr_array:
        shape = (len(self._classes), len(self._ports))
        return csr_array((np.ones(len(variables)), (self._of_class[variables], variables)), shape=shape)

    def _limits(self) -> NDArray[np.float64]:
        """A receiver relays to the others at most; a sender may serve all."""
        copies = self._copies[self._of_class]
        return self._bytes[self._of_class] * np.where(self._is_sender, copies, copies - 1)


def _wide(ports: csr_array, last: csr_array, exits: csr_array) -> csr_array:
    return vstack([hstack([ports, last]), hstack([-exits, csr_array((exits.shape[0], 1))])]).tocsr()
