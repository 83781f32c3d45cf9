"""The published placement algorithms, under their names in AlpaServe's artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from placement.candidate import Candidate, empty
from placement.greedy import Scored, fill, with_required
from placement.groups import Host, Layout, carve, hosts_of, num_free
from placement.problem import Problem
from vocabulary.parallel import ParallelConfig

SINGLE = ParallelConfig(1, 1)
# The artifact's limits: of stages, and of devices that share an operator.
MAX_PIPELINE = 8
MAX_TENSOR = 4
# The pipeline length that the ablation's round robin uses.
ROUND_ROBIN_PIPELINE = 4

# None: required replicas do not fit, or the cluster is too small for the groups.
Algorithm = Callable[[Problem], Candidate | None]


def sr_uniform(problem: Problem) -> Candidate | None:
    """Device i holds models i, i + 1, ... cyclically, as many as would fit if all were like the first."""
    layout = carve(hosts_of(problem.deployment.cluster), SINGLE)
    candidate = with_required(problem, layout)
    if candidate is None or not layout:
        return None
    first_bytes = max(1, int(problem.memory.used(layout[0], (0,)).max()))
    for group, mesh in enumerate(layout):
        for step in range(mesh.usable_bytes // first_bytes):
            model = (group + step) % problem.num_models
            if problem.addable(candidate, group)[model]:
                candidate = candidate.plus(group, model)
    return candidate


def mp_round_robin(problem: Problem) -> Candidate | None:
    """Pipelines of four, models dealt to them in turn for as long as any fits."""
    layout = carve(hosts_of(problem.deployment.cluster), ParallelConfig(1, ROUND_ROBIN_PIPELINE))
    candidate = with_required(problem, layout)
    if candidate is None or not layout:
        return None
    group, was_dealt = 0, True
    while was_dealt:
        was_dealt = False
        for model in range(problem.num_models):
            if problem.addable(candidate, group)[model]:
                candidate = candidate.plus(group, model)
                group = (group + 1) % len(layout)
                was_dealt = True
    return candidate


def mp_greedy(problem: Problem, *, pipeline: int) -> Candidate | None:
    """The fast heuristic on pipelines of one length."""
    layout = carve(hosts_of(problem.deployment.cluster), ParallelConfig(1, pipeline))
    filled = fill(problem, layout) if layout else None
    return filled.last.candidate if filled else None


def mp_search(problem: Problem) -> Candidate | None:
    """The fast heuristic on every layout of equal groups; the fullest placement of the best one."""
    found = search_hosts(problem, hosts_of(problem.deployment.cluster))
    return found.candidate if found else None


def search_hosts(problem: Problem, hosts: Sequence[Host]) -> Scored | None:
    """`mp_search` on some of the devices; the first of equals."""
    filled = [fill(problem, layout) for layout in published_layouts(hosts)]
    return max((one.last for one in filled if one), key=lambda scored: scored.value, default=None)


def published_layouts(hosts: Sequence[Host]) -> Iterator[Layout]:
    """Equal groups of 1, 2, 4, ... devices, each size with every split into tensor and pipeline."""
    size = 1
    while size <= num_free(hosts):
        for pipeline in (1, 2, 4, 8):
            tensor = size // pipeline
            if tensor * pipeline == size and tensor <= MAX_TENSOR and pipeline <= MAX_PIPELINE:
                layout = carve(hosts, ParallelConfig(tensor, pipeline))
                if layout:
                    yield layout
        size *= 2


def nothing(problem: Problem) -> Candidate:
    """No model anywhere: the trivial sibling."""
    return empty(carve(hosts_of(problem.deployment.cluster), SINGLE))


BASELINES: dict[str, Algorithm] = {
    "sr-uniform": sr_uniform,
    "sr-greedy": partial(mp_greedy, pipeline=1),
    "mp-round-robin": mp_round_robin,
    "mp-greedy-2": partial(mp_greedy, pipeline=2),
    "mp-greedy-4": partial(mp_greedy, pipeline=4),
    "mp-greedy-8": partial(mp_greedy, pipeline=8),
    "mp-search": mp_search,
}
