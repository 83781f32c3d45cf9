"""The published placement algorithms, under their names in AlpaServe's artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from placement.greedy import Scored, fill, with_required
from placement.groups import Host, Layout, carve, hosts_of, num_free
from placement.incumbent import Incumbent
from placement.problem import Problem
from vocabulary.parallel import ParallelConfig

SINGLE = ParallelConfig(1, 1)
# The artifact's limits: of stages, and of devices that share an operator.
MAX_PIPELINE = 8
MAX_TENSOR = 4
# The pipeline length that the ablation's round robin uses.
ROUND_ROBIN_PIPELINE = 4

# Offers what it finds; nothing when required replicas do not fit or the cluster is too small for the groups.
Algorithm = Callable[[Problem, Incumbent], None]


def sr_uniform(problem: Problem, incumbent: Incumbent) -> None:
    """Device i holds models i, i + 1, ... cyclically, as many as would fit if all were like the first."""
    layout = carve(hosts_of(problem.deployment.cluster), SINGLE)
    candidate = with_required(problem, layout)
    if candidate is None or not layout:
        return
    first_bytes = max(1, int(problem.memory.used(layout[0], (0,)).max()))
    for group, mesh in enumerate(layout):
        for step in range(mesh.usable_bytes // first_bytes):
            model = (group + step) % problem.num_models
            if problem.addable(candidate, group)[model]:
                candidate = problem.plus(candidate, group, model)
    incumbent.offer(Scored(candidate, 0.0), phase="dealt", num_evaluated=0)


def mp_round_robin(problem: Problem, incumbent: Incumbent) -> None:
    """Pipelines of four, models dealt to them in turn for as long as any fits."""
    layout = carve(hosts_of(problem.deployment.cluster), ParallelConfig(1, ROUND_ROBIN_PIPELINE))
    candidate = with_required(problem, layout)
    if candidate is None or not layout:
        return
    group, was_dealt = 0, True
    while was_dealt:
        was_dealt = False
        for model in range(problem.num_models):
            if problem.addable(candidate, group)[model]:
                candidate = problem.plus(candidate, group, model)
                group = (group + 1) % len(layout)
                was_dealt = True
    incumbent.offer(Scored(candidate, 0.0), phase="dealt", num_evaluated=0)


def mp_greedy(problem: Problem, incumbent: Incumbent, *, pipeline: int) -> None:
    """The fast heuristic on pipelines of one length; the fullest placement."""
    fill_each(problem, incumbent, [carve(hosts_of(problem.deployment.cluster), ParallelConfig(1, pipeline))])


def mp_search(problem: Problem, incumbent: Incumbent) -> None:
    """The fast heuristic on every layout of equal groups; the fullest placement of the best one."""
    fill_each(problem, incumbent, published_layouts(hosts_of(problem.deployment.cluster)))


def fill_each(problem: Problem, incumbent: Incumbent, layouts: Iterator[Layout] | Sequence[Layout]) -> None:
    """Offer the fullest placement on each layout."""
    for layout in layouts:
        filled = fill(problem, layout) if layout else None
        if filled is not None:
            phase = f"fill {len(layout)} x {layout[0].config}"
            incumbent.offer(filled.last, phase=phase, num_evaluated=problem.num_evaluated)


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


BASELINES: dict[str, Algorithm] = {
    "sr-uniform": sr_uniform,
    "sr-greedy": partial(mp_greedy, pipeline=1),
    "mp-round-robin": mp_round_robin,
    "mp-greedy-2": partial(mp_greedy, pipeline=2),
    "mp-greedy-4": partial(mp_greedy, pipeline=4),
    "mp-greedy-8": partial(mp_greedy, pipeline=8),
    "mp-search": mp_search,
}
