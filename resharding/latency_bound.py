"""How many messages must follow each other, whatever their size: what latency costs at the least."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from resharding.classes import Hosts, TransferClass


def messages_in_a_row(classes: Sequence[TransferClass]) -> int:
    """No schedule has fewer, relays of any kind included; 0 where nothing is sent.

    A port sends one message at a time, so hosts that know of something at most double with each: n that know
    reach k more after log2(1 + k / n). And a host takes one at a time, so what it has can come from at most
    twice as many with each.
    """
    spreads = [_doublings(len(one.receivers), len(one.senders)) for one in classes]
    told: dict[Hosts, set[int]] = defaultdict(set)
    heard: dict[int, list[Hosts]] = defaultdict(list)
    for one in classes:
        told[one.senders] |= {*one.receivers}
        for host in one.receivers:
            heard[host].append(one.senders)
    alone = [_doublings(len(hosts), 1) for senders, hosts in told.items() if len(senders) == 1]
    gathered = [_doublings(_num_apart(senders), 1) for senders in heard.values()]
    return max((*spreads, *alone, *gathered), default=0)


def _doublings(num_others: int, num_first: int) -> int:
    return math.ceil(math.log2(1 + num_others / num_first))


def _num_apart(senders: Iterable[Hosts]) -> int:
    """At least so many different hosts are needed to have one of each: sets that share none."""
    taken: set[int] = set()
    number = 0
    for hosts in sorted(senders, key=len):
        if taken.isdisjoint(hosts):
            taken.update(hosts)
            number += 1
    return number
