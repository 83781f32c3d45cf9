"""A model as the parts that a pipeline is cut between: its embedding, its layers, its head."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from placement.stages import StageMemory, cut_stages
from vocabulary.errors import Infeasible


def cut_parts(
    part_s: Sequence[float],
    num_stages: int,
    *,
    transfer_s: float = 0.0,
    memory: StageMemory | None = None,
) -> tuple[range, ...]:
    """Parts of each stage, by `placement.stages.cut_stages`; part 0 is the embedding, the last the head.

    part_s: seconds of each part; every output takes transfer_s to pass on. A stage may be the embedding or
    the head alone, and no pipeline has more stages than layers. Raises Infeasible.
    """
    num_layers = len(part_s) - 2
    if num_stages > num_layers:
        raise Infeasible(
            f"{num_layers} layers cannot be cut into {num_stages} stages",
            hint=f"choose a pipeline between 1 and {num_layers}",
        )
    return cut_stages(part_s, num_stages, transfer_s=[transfer_s] * len(part_s), memory=memory)


def layers_of(stages: Sequence[range]) -> tuple[range, ...]:
    """The layers of each stage of a cut between parts; empty where a stage is an end alone."""
    num_layers = stages[-1].stop - 2
    return tuple(range(max(stage.start - 1, 0), min(stage.stop - 1, num_layers)) for stage in stages)


def layer_counts(stages: Sequence[range]) -> tuple[int, ...]:
    """How many layers each stage has, as profiles write a cut down."""
    return tuple(map(len, layers_of(stages)))


def ranges_of(counts: Sequence[int]) -> tuple[range, ...]:
    """The layers of each stage, from how many it has."""
    ends = list(accumulate(counts, initial=0))
    return tuple(range(start, stop) for start, stop in pairwise(ends))
