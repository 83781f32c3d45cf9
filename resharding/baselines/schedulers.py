"""Who sends each task, and in which order: the paper's four schedulers on whole, uninterrupted tasks.

Tasks that share a host's port do not overlap. Durations are those of the task's own bytes; the reference code
takes the whole source tile's, which is a fault of it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from resharding.baselines.strategies import STRATEGIES
from resharding.baselines.tasks import Task
from resharding.network import Network

NUM_ORDERS = 100  # random orders that `greedy` tries for each set of tasks
MAX_NODES = 20_000  # of the depth-first search: where the reference stops after a second


@dataclass(frozen=True, slots=True)
class Timing:
    """A task with the seconds that it holds its ports."""

    task: Task
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    task: int
    sender: int


Scheduler = Callable[[Sequence[Timing]], list[Choice]]


def makespan_s(tasks: Sequence[Task], network: Network, *, strategy: str, scheduler: str) -> float:
    """When the last task ends under a strategy and a scheduler, both by name."""
    duration_s = STRATEGIES[strategy]
    timings = [Timing(task, duration_s(task, network)) for task in tasks]
    return choices_makespan_s(timings, SCHEDULERS[scheduler](timings))


def naive(timings: Sequence[Timing]) -> list[Choice]:
    """The first replica sends, in program order."""
    return [Choice(index, timing.task.senders[0]) for index, timing in enumerate(timings)]


def by_size(timings: Sequence[Timing]) -> list[Choice]:
    """The least loaded host sends, in program order."""
    load: dict[int, float] = defaultdict(float)
    choices: list[Choice] = []
    for index, timing in enumerate(timings):
        sender = min(timing.task.senders, key=lambda host: load[host])
        load[sender] += timing.seconds
        choices.append(Choice(index, sender))
    return choices


def depth_first(timings: Sequence[Timing]) -> list[Choice]:
    """Orders and senders by depth-first search, from the balanced one, pruned by the best makespan so far."""
    best = by_size(timings)
    return _DepthFirst(timings, best).run() if len(timings) <= 200 else best


def greedy(timings: Sequence[Timing]) -> list[Choice]:
    """Again and again the largest set of tasks without a common host, of NUM_ORDERS random ones.

    Fewer orders where a set is as large as any can be.
    """
    rng = random.Random(0)
    load: dict[int, float] = defaultdict(float)
    left = list(range(len(timings)))
    receivers = [_mask(timing.task.receivers) for timing in timings]
    choices: list[Choice] = []
    while left:
        found = _largest(timings, left, receivers, load, rng)
        for choice in found:
            load[choice.sender] += timings[choice.task].seconds
        chosen = {choice.task for choice in found}
        choices += found
        left = [index for index in left if index not in chosen]
    return choices


def _mask(hosts: Iterable[int]) -> int:
    return sum(1 << host for host in hosts)


def _largest(
    timings: Sequence[Timing],
    left: Sequence[int],
    receivers: Sequence[int],
    load: Mapping[int, float],
    rng: random.Random,
) -> list[Choice]:
    most = min(
        len(left),
        len({host for index in left for host in timings[index].task.senders}),
        len({host for index in left for host in timings[index].task.receivers}),
    )
    best: list[Choice] = []
    for _ in range(NUM_ORDERS):
        found = _compatible(timings, left, receivers, load, rng)
        if len(found) > len(best):
            best = found
        if len(best) == most:
            break
    return best


def _compatible(
    timings: Sequence[Timing],
    left: Sequence[int],
    receivers: Sequence[int],
    load: Mapping[int, float],
    rng: random.Random,
) -> list[Choice]:
    """A maximal set without a common host; senders with less load are likelier."""
    taken = 0
    found: list[Choice] = []
    for index in rng.sample(left, len(left)):
        if taken & receivers[index]:
            continue
        senders = [host for host in timings[index].task.senders if not taken >> host & 1]
        if senders:
            sender = _drawn(senders, load, timings[index].seconds, rng)
            found.append(Choice(index, sender))
            taken |= 1 << sender | receivers[index]
    return found


def _drawn(senders: list[int], load: Mapping[int, float], seconds: float, rng: random.Random) -> int:
    if len(senders) == 1:
        return senders[0]
    most = max(load[host] for host in senders)
    return rng.choices(senders, [most - load[host] + seconds for host in senders])[0]


def choices_makespan_s(timings: Sequence[Timing], choices: Sequence[Choice]) -> float:
    """Each task starts when its sender's and all its receivers' ports are free."""
    sending: dict[int, float] = defaultdict(float)
    taking: dict[int, float] = defaultdict(float)
    for choice in choices:
        timing = timings[choice.task]
        start_s = max(sending[choice.sender], *(taking[host] for host in timing.task.receivers))
        sending[choice.sender] = start_s + timing.seconds
        for host in timing.task.receivers:
            taking[host] = start_s + timing.seconds
    return max((*sending.values(), *taking.values()), default=0.0)


class _DepthFirst:
    def __init__(self, timings: Sequence[Timing], first: list[Choice]) -> None:
        self._timings = timings
        self._best, self._best_s = first, choices_makespan_s(timings, first)
        self._num_nodes = 0

    def run(self) -> list[Choice]:
        self._go([], set(range(len(self._timings))))
        return self._best

    def _go(self, choices: list[Choice], left: set[int]) -> None:
        self._num_nodes += 1
        so_far_s = choices_makespan_s(self._timings, choices)
        if so_far_s >= self._best_s or self._num_nodes > MAX_NODES:
            return
        if not left:
            self._best, self._best_s = list(choices), so_far_s
            return
        for index in sorted(left):
            for sender in self._timings[index].task.senders:
                self._go([*choices, Choice(index, sender)], left - {index})


SCHEDULERS: dict[str, Scheduler] = {
    "naive": naive, "size": by_size, "dfs": depth_first, "greedy": greedy,
}  # fmt: skip
