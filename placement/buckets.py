"""Model buckets on devices of their own: AlpaServe's Algorithm 2 (§4.2) as its artifact runs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from placement.baselines import fill_each, mp_search, published_layouts
from placement.candidate import Candidate
from placement.greedy import Scored
from placement.groups import Host, hosts_of, num_free, part_of
from placement.incumbent import Incumbent
from placement.problem import Problem

Bucket = tuple[int, ...]
Split = tuple[int, ...]

# Models whose latencies differ by less than this share of the first member's go into one bucket.
SAME_LATENCY = 0.38
# Splits whose shares of throughput are further from the shares of load than this are dropped, tightened until
# few enough are left.
TOLERANCES = (1.0, 0.5, 0.3, 0.2, 0.1)
MANY_SPLITS = 100


def mp_search_sep(problem: Problem, incumbent: Incumbent) -> None:
    """`mp_search` on everything, and of every bucket on its share of the devices."""
    mp_search(problem, incumbent)
    buckets = buckets_of(problem)
    if len(buckets) > 1:
        num_devices = num_free(hosts_of(problem.deployment.cluster))
        splits = likely_splits(problem, buckets, num_devices)
        search_splits(problem, incumbent, buckets=buckets, splits=splits)


def search_splits(
    problem: Problem, incumbent: Incumbent, *, buckets: Sequence[Bucket], splits: Sequence[Split]
) -> None:
    """Each bucket searched on its part of the devices, for every split."""
    hosts = hosts_of(problem.deployment.cluster)
    parts = [problem.part(bucket) for bucket in buckets]
    solved: dict[tuple[int, int, int], Scored | None] = {}
    for split in splits:
        found: list[Scored | None] = []
        first = 0
        for number, count in enumerate(split):
            key = (number, first, count)
            if key not in solved:
                solved[key] = _search_part(parts[number], part_of(hosts, first, first + count))
            found.append(solved[key])
            first += count
        whole = _joined(buckets, found)
        if whole is not None and _keeps_rules(problem, whole):
            scored = Scored(whole, problem.value(whole, problem.tally(whole)))
            num_evaluated = problem.num_evaluated + sum(part.num_evaluated for part in parts)
            incumbent.offer(scored, phase=f"split {split}", num_evaluated=num_evaluated)
    problem.num_evaluated += sum(part.num_evaluated for part in parts)


def _keeps_rules(problem: Problem, whole: Candidate) -> bool:
    """The parts know of no rules between them."""
    if problem.constraints.is_empty:
        return True
    placement = whole.placement(problem.deployment.model_names, keeps_devices=True)
    return not problem.constraints.violations(placement)


def _search_part(part: Problem, hosts: Sequence[Host]) -> Scored | None:
    incumbent = Incumbent()
    fill_each(part, incumbent, published_layouts(hosts))
    return incumbent.best


def buckets_of(problem: Problem) -> tuple[Bucket, ...]:
    """First fit in the order of the deployment, by latency on the fewest devices."""
    buckets: list[list[int]] = []
    for model in range(problem.num_models):
        latency_s = _latency_s(problem, model)
        for bucket in buckets:
            first_s = _latency_s(problem, bucket[0])
            if abs(latency_s - first_s) / first_s < SAME_LATENCY:
                bucket.append(model)
                break
        else:
            buckets.append([model])
    return tuple(map(tuple, buckets))


def likely_splits(problem: Problem, buckets: Sequence[Bucket], num_devices: int) -> list[Split]:
    """Numbers of devices for every bucket, in proportion to load so far as needed to have few."""
    loads = _loads_rps(problem, buckets)
    latencies_s = np.array([_latency_s(problem, bucket[0]) for bucket in buckets])
    distance: dict[Split, float] = {}
    for split in splits_of(num_devices, len(buckets), host_size=_host_size(problem)):
        throughput = np.array(split) / latencies_s
        distance[split] = float(np.abs(loads / loads.sum() - throughput / throughput.sum()).max())
    kept = list(distance)
    for tolerance in TOLERANCES:
        kept = [split for split in distance if distance[split] < tolerance] or kept
        if len(kept) < MANY_SPLITS:
            break
    return sorted(kept, key=lambda split: distance[split])[:MANY_SPLITS]


def splits_of(num_devices: int, num_parts: int, *, host_size: int) -> Iterator[Split]:
    """Ways to give every part at least one device, so that at most one part shares hosts with the next."""
    if num_parts == 1:
        yield (num_devices,)
        return
    for last in range(1, num_devices):
        rest = num_devices - last
        if last <= num_devices % host_size or rest % host_size == 0 or num_devices % host_size == 0:
            for split in splits_of(rest, num_parts - 1, host_size=host_size):
                yield (*split, last)


def _joined(buckets: Sequence[Bucket], found: Sequence[Scored | None]) -> Candidate | None:
    """The buckets' placements side by side, with the whole problem's model indices."""
    whole = Candidate((), ())
    for bucket, scored in zip(buckets, found, strict=True):
        if scored is None:
            return None
        part = scored.candidate
        content = tuple(tuple(bucket[model] for model in models) for models in part.content)
        whole = Candidate((*whole.layout, *part.layout), (*whole.content, *content))
    return whole


def _latency_s(problem: Problem, model: int) -> float:
    profile = problem.deployment.models[model].profile
    assert profile is not None, "a search needs profiles"
    return profile.single_device_latency_s()


def _loads_rps(problem: Problem, buckets: Sequence[Bucket]) -> np.ndarray:
    """Requests of every bucket: rates where the deployment says them, else what the trace has."""
    workloads = [model.workload for model in problem.deployment.models]
    if all(workload is not None for workload in workloads):
        rates = np.array([workload.rate_rps for workload in workloads if workload is not None])
    else:
        rates = problem.trace.counts().astype(float)
    return np.array([max(rates[list(bucket)].sum(), 1e-9) for bucket in buckets])


def _host_size(problem: Problem) -> int:
    return max(node.devices_per_host for node in problem.deployment.cluster.nodes)
