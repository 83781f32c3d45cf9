"""The best there is, by trying everything: whole tasks as the paper has them, few equal chunks by steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations, product

from resharding.baselines.tasks import Task
from resharding.classes import TransferClass
from resharding.network import Network

# What every host has, as a set of chunks in bits.
State = tuple[int, ...]


def best_whole_tasks_s(tasks: Sequence[Task], network: Network) -> float:
    """Each task whole, from one sender to all its receivers at once; hosts that share a port take turns.

    Starting tasks as early as can be in some order gives an optimum for one of the orders.
    """
    best_s = float("inf")
    for order in permutations(range(len(tasks))):
        for senders in product(*(task.senders for task in tasks)):
            best_s = min(best_s, _whole_s(tasks, order, senders, network))
    return best_s


def _whole_s(tasks: Sequence[Task], order: Sequence[int], senders: Sequence[int], network: Network) -> float:
    free: dict[tuple[str, int], float] = {}
    last_s = 0.0
    for index in order:
        ports = [("out", senders[index]), *(("in", host) for host in tasks[index].receivers)]
        end_s = max(free.get(port, 0.0) for port in ports) + network.message_s(tasks[index].num_bytes)
        free |= dict.fromkeys(ports, end_s)
        last_s = max(last_s, end_s)
    return last_s


def fewest_steps(classes: Sequence[TransferClass], *, chunk_bytes: int, is_full_duplex: bool) -> int:
    """Steps until all receivers have all chunks, if in each a port sends or takes one chunk. Breadth first.

    Every class is a multiple of `chunk_bytes`. All hosts relay, members of a class or not.
    """
    hosts = sorted({host for one in classes for host in (*one.senders, *one.receivers)})
    has, wants, chunk = dict.fromkeys(hosts, 0), dict.fromkeys(hosts, 0), 0
    for one in classes:
        assert one.num_bytes % chunk_bytes == 0, (one, chunk_bytes)
        for _ in range(one.num_bytes // chunk_bytes):
            for members, found in ((one.senders, has), (one.receivers, wants)):
                for host in members:
                    found[host] |= 1 << chunk
            chunk += 1
    goal = tuple(wants[host] for host in hosts)
    layer, steps = {tuple(has[host] for host in hosts)}, 0
    while not any(_reaches(state, goal) for state in layer):
        layer = _undominated({after for state in layer for after in _steps(state, is_full_duplex)})
        steps += 1
    return steps


def _reaches(state: State, goal: State) -> bool:
    return all(has & wanted == wanted for has, wanted in zip(state, goal, strict=True))


def _undominated(states: set[State]) -> set[State]:
    """Without those where every host has no more than in another."""
    kept: list[State] = []
    for state in sorted(states, key=lambda one: -sum(has.bit_count() for has in one)):
        if not any(_reaches(other, state) for other in kept):
            kept.append(state)
    return set(kept)


def _steps(state: State, is_full_duplex: bool) -> Iterable[State]:
    """Every way to take one more step, host by host as a receiver."""

    def go(receiver: int, busy: frozenset[int], after: State) -> Iterable[State]:
        if receiver == len(state):
            yield after
            return
        yield from go(receiver + 1, busy, after)
        if not is_full_duplex and receiver in busy:
            return
        for sender, has in enumerate(state):
            if sender == receiver or sender in busy:
                continue
            taken = busy | ({sender} if is_full_duplex else {sender, receiver})
            news = has & ~state[receiver]
            for chunk in range(news.bit_length()):
                if news >> chunk & 1:
                    mine = (*after[:receiver], after[receiver] | 1 << chunk, *after[receiver + 1 :])
                    yield from go(receiver + 1, frozenset(taken), mine)

    return go(0, frozenset(), state)
