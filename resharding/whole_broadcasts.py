"""The paper's greedy schedule of whole broadcasts as a plan of ours: never to be better than what we choose.

Its tasks are what a source tile and a target tile have in common. All tasks with the same senders and
receivers are of one class, and bytes of a class are alike: a task stands for as many of them as it has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from resharding.baselines.schedulers import Choice, Timing, choices_makespan_s, greedy
from resharding.baselines.strategies import best_chunks, broadcast
from resharding.baselines.tasks import Task, tasks_of
from resharding.classes import TransferClass
from resharding.moves import Move
from resharding.network import Network
from resharding.routes import Segment
from resharding.sends import Send

# Of devices: 64 to 64, where the greedy takes a quarter of a second at most. Whole models have more.
MAX_PAIRS = 4096


def whole_broadcasts(
    moves: Sequence[Move], classes: Sequence[TransferClass], network: Network, *, below_s: float
) -> tuple[Send, ...]:
    """All messages in their order; none if they would not end before `below_s`.

    Nor where the paper's model does not apply (hosts in common, half duplex, several targets), nor for more
    pairs of devices than MAX_PAIRS.
    """
    if not _applies(moves, network):
        return ()
    tasks = tasks_of(moves)
    timings = [Timing(task, broadcast(task, network)) for task in tasks]
    if _least_s(timings) >= below_s:
        return ()
    choices = greedy(timings)
    if choices_makespan_s(timings, choices) >= below_s:
        return ()
    return _sends(tasks, choices, classes, network)


def _applies(moves: Sequence[Move], network: Network) -> bool:
    targets = [target for move in moves for target in move.targets]
    senders = {host for move in moves for one in move.sources for host, _ in one.devices}
    num_pairs = sum(len(move.source.devices) * len(move.targets[0].devices) for move in moves)
    return (
        network.is_full_duplex
        and num_pairs <= MAX_PAIRS
        and all(len(move.targets) == len(move.sources) == 1 for move in moves)
        and all(senders.isdisjoint(host for host, _ in target.devices) for target in targets)
    )


def _least_s(timings: Sequence[Timing]) -> float:
    """No order is shorter: a host takes its tasks one after the other, and sends those that only it has."""
    taken: dict[int, float] = defaultdict(float)
    sent: dict[int, float] = defaultdict(float)
    for timing in timings:
        for host in timing.task.receivers:
            taken[host] += timing.seconds
        if len(timing.task.senders) == 1:
            sent[timing.task.senders[0]] += timing.seconds
    return max((*taken.values(), *sent.values()), default=0.0)


def _sends(
    tasks: Sequence[Task], choices: Sequence[Choice], classes: Sequence[TransferClass], network: Network
) -> tuple[Send, ...]:
    number_of = {(one.senders, one.receivers): number for number, one in enumerate(classes)}
    used = [0] * len(classes)
    found: list[Send] = []
    first_chunk = 0
    for choice in choices:
        task = tasks[choice.task]
        number = number_of[tuple(sorted(task.senders)), tuple(sorted(task.receivers))]
        num_chunks = min(best_chunks(task, network), task.num_bytes)
        chunks = _chunks(number, used[number], task.num_bytes, num_chunks)
        found += _chain((choice.sender, *task.receivers), chunks, first_chunk)
        used[number] += task.num_bytes
        first_chunk += num_chunks
    assert used == [one.num_bytes for one in classes], (used, classes)
    return tuple(found)


def _chunks(number: int, start: int, num_bytes: int, num_chunks: int) -> list[Segment]:
    """As equal as whole bytes are, the largest first: then none waits for a port behind a smaller one."""
    sizes = [-(-(num_bytes - index) // num_chunks) for index in range(num_chunks)]
    found: list[Segment] = []
    for size in sizes:
        found.append(Segment(number, start, start + size))
        start += size
    return found


def _chain(hosts: Sequence[int], chunks: Sequence[Segment], first_chunk: int) -> list[Send]:
    """Round by round: in round r, hop h carries chunk r - h."""
    num_hops = len(hosts) - 1
    return [
        Send(first_chunk + index, hosts[hop], hosts[hop + 1], (chunks[index],), chunks[index].num_bytes)
        for number in range(len(chunks) + num_hops - 1)
        for hop in range(num_hops)
        if 0 <= (index := number - hop) < len(chunks)
    ]
