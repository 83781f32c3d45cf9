"""What every plan must do, whatever it costs."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from resharding.network import Network
from resharding.planner import TransferPlan


def check_delivery(plan: TransferPlan) -> None:
    """Byte by byte: each receiver of a class gets each byte once, from a host that has it by then."""
    has = {
        (host, number): {(0, one.num_bytes): 0.0}
        for number, one in enumerate(plan.classes)
        for host in one.senders
    }
    got: dict[tuple[int, int], list[tuple[int, int, float]]] = defaultdict(list)
    for timed in plan.sends:
        for segment in timed.send.segments:
            place = (timed.send.to_host, segment.transfer_class)
            sender = (timed.send.from_host, segment.transfer_class)
            if sender not in has:
                assert _covers(got[sender], segment.start, segment.stop, timed.start_s)
            got[place].append((segment.start, segment.stop, timed.end_s))
    wanted = {(host, number) for number, one in enumerate(plan.classes) for host in one.receivers}
    assert got.keys() >= wanted
    for place, pieces in got.items():
        if pieces:
            assert place in wanted
            borders = [(start, stop) for start, stop, _ in sorted(pieces)]
            assert borders[0][0] == 0
            assert borders[-1][1] == plan.classes[place[1]].num_bytes
            assert all(a[1] == b[0] for a, b in pairwise(borders))


def check_ports(plan: TransferPlan, network: Network) -> None:
    busy: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for timed in plan.sends:
        span = (timed.start_s, timed.end_s)
        busy[timed.send.from_host, "out"].append(span)
        busy[timed.send.to_host, "in" if network.is_full_duplex else "out"].append(span)
    for spans in busy.values():
        spans.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


def _covers(pieces: list[tuple[int, int, float]], start: int, stop: int, by_s: float) -> bool:
    here = sorted((a, b) for a, b, end_s in pieces if end_s <= by_s)
    for a, b in here:
        if a <= start < b:
            start = b
    return start >= stop
