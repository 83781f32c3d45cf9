"""True optima of tiny instances by looking at everything, with nothing taken from the bound's code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulator.fast_or_events import outcomes_of
from vocabulary.deployment import Deployment
from vocabulary.errors import Infeasible
from vocabulary.fit import check_fit
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.trace import Trace
from vocabulary.units import TIME_TOLERANCE_S


def all_placements(deployment: Deployment) -> Iterator[Placement]:
    """Every placement on one host of equal devices: groups in every order, with every content that fits."""
    devices = [device.id for device in deployment.cluster.devices]
    configs = sorted(
        {config for model in deployment.models if model.profile for config in model.profile.entries}
    )
    for chosen in _sequences(configs, len(devices)):
        for contents in itertools.product(*(_subsets(deployment, config) for config in chosen)):
            placement = _placement(chosen, contents, devices)
            try:
                check_fit(placement, deployment)
            except Infeasible:
                continue
            yield placement


def policy_optimum(deployment: Deployment, trace: Trace) -> int:
    """Most requests in time that the deployment's own policy reaches with any placement."""
    placements = (placement for placement in all_placements(deployment) if placement.groups)
    return max((counted_good(deployment, placement, trace) for placement in placements), default=0)


def clairvoyant_optimum(deployment: Deployment, trace: Trace) -> int:
    """Most requests in time with any placement, any choice of requests, any order on any stage, any batch."""
    requests = tuple(range(len(trace)))
    most_on: dict[tuple[ParallelConfig, tuple[int, ...]], int] = {}
    best = 0
    seen = set()
    for placement in all_placements(deployment):
        kinds = tuple(sorted((group.config, group.models) for group in placement.groups))
        if kinds in seen:
            continue
        seen.add(kinds)
        for part in _parts(requests, kinds, trace):
            total = 0
            for (config, _), members in zip(kinds, part, strict=True):
                if (config, members) not in most_on:
                    most_on[config, members] = _most_in_time(deployment, trace, config, members)
                total += most_on[config, members]
            best = max(best, total)
            if best == len(trace):
                return best
    return best


def _sequences(configs: list[ParallelConfig], num_devices: int) -> Iterator[tuple[ParallelConfig, ...]]:
    yield ()
    for config in configs:
        if config.num_devices <= num_devices:
            for rest in _sequences(configs, num_devices - config.num_devices):
                yield (config, *rest)


def _subsets(deployment: Deployment, config: ParallelConfig) -> list[tuple[str, ...]]:
    names = [model.name for model in deployment.models if model.profile and model.profile.supports(config)]
    return [chosen for size in range(1, len(names) + 1) for chosen in itertools.combinations(names, size)]


def _placement(
    configs: tuple[ParallelConfig, ...], contents: tuple[tuple[str, ...], ...], devices: list[str]
) -> Placement:
    groups, first = [], 0
    for number, (config, models) in enumerate(zip(configs, contents, strict=True)):
        taken = tuple(devices[first : first + config.num_devices])
        groups.append(Group(f"g{number}", taken, config, models))
        first += config.num_devices
    return Placement(tuple(groups))


def _parts(
    requests: tuple[int, ...], kinds: tuple[tuple[ParallelConfig, tuple[str, ...]], ...], trace: Trace
) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every way to give each request to a group that holds its model; what none holds goes nowhere."""
    options = []
    for request in requests:
        name = trace.models[trace.model_index[request]]
        options.append([number for number, (_, models) in enumerate(kinds) if name in models] or [None])
    for chosen in itertools.product(*options):
        yield tuple(
            tuple(request for request, group in zip(requests, chosen, strict=True) if group == number)
            for number in range(len(kinds))
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Members on their way: when the last stage they left was done, and the stage that comes next."""

    members: tuple[int, ...]
    ready_s: float
    stage: int


def _most_in_time(
    deployment: Deployment, trace: Trace, config: ParallelConfig, members: tuple[int, ...]
) -> int:
    """On one group: every order of every stage, and of which requests make up a batch."""
    catalog = deployment.catalog()
    most_members = 1 if deployment.policy.batching == "none" else deployment.policy.max_batch_size
    costs = [catalog.costs(name, config) for name in trace.models]
    models = [deployment.model(name) for name in trace.models]
    due_s = [
        float(trace.arrival_s[request])
        + models[trace.model_index[request]].slo_s(catalog.latency)
        + TIME_TOLERANCE_S
        - catalog.latency.fixed_overhead_s
        for request in range(len(trace))
    ]
    best = 0
    explored = set()

    def explore(
        waiting: frozenset[int], running: tuple[_Batch, ...], free_s: tuple[float, ...], num_done: int
    ) -> None:
        nonlocal best
        best = max(best, num_done)
        if num_done + len(waiting) + sum(len(batch.members) for batch in running) <= best:
            return
        state = (waiting, frozenset(running), free_s)
        if state in explored:
            return
        explored.add(state)
        for number, batch in enumerate(running):
            rest = (*running[:number], *running[number + 1 :])
            advance(batch, waiting, rest, free_s, num_done)
        for batch in batches(waiting):
            advance(batch, waiting - set(batch.members), running, free_s, num_done)

    def advance(
        batch: _Batch,
        waiting: frozenset[int],
        running: tuple[_Batch, ...],
        free_s: tuple[float, ...],
        num_done: int,
    ) -> None:
        """The batch is next on its next stage, unless a member would be late: a smaller batch spares it."""
        stages_s = costs[trace.model_index[batch.members[0]]].of(len(batch.members))
        end_s = max(free_s[batch.stage], batch.ready_s) + stages_s[batch.stage]
        left_s = sum(stages_s[batch.stage + 1 :])
        if any(end_s + left_s > due_s[member] + 1e-12 for member in batch.members):
            return
        free_s = (*free_s[: batch.stage], end_s, *free_s[batch.stage + 1 :])
        if batch.stage + 1 == config.pipeline:
            explore(waiting, running, free_s, num_done + len(batch.members))
        else:
            explore(waiting, (*running, _Batch(batch.members, end_s, batch.stage + 1)), free_s, num_done)

    def batches(waiting: frozenset[int]) -> Iterator[_Batch]:
        for size in range(1, min(most_members, len(waiting)) + 1):
            for chosen in itertools.combinations(sorted(waiting), size):
                index = {int(trace.model_index[member]) for member in chosen}
                if len(index) == 1 and size <= costs[index.pop()].max_batch_size:
                    yield _Batch(chosen, float(max(trace.arrival_s[list(chosen)])), 0)

    explore(frozenset(members), (), (0.0,) * config.pipeline, 0)
    return best


def counted_good(deployment: Deployment, placement: Placement, trace: Trace) -> int:
    return int(np.sum(outcomes_of(placement, trace, deployment=deployment).good))
