"""The min-max cut of a model's layers into pipeline stages (AlpaServe §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vocabulary.errors import Infeasible


def cut_stages(layer_s: Sequence[float], num_stages: int) -> tuple[range, ...]:
    """Contiguous layer ranges whose slowest stage is as quick as can be; none is empty.

    Of equally good cuts the one whose stages end earliest, from the last stage backwards.
    Dynamic programme F(s, k) = min over i of max(F(s - 1, i), cost of layers i .. k), O(layers^2 x stages).
    Raises Infeasible if there are fewer layers than stages.
    """
    num_layers = len(layer_s)
    if not 1 <= num_stages <= num_layers:
        raise Infeasible(
            f"{num_layers} layers cannot be cut into {num_stages} stages",
            hint=f"choose a pipeline between 1 and {num_layers}",
        )
    # before[k]: cost of the first k layers; slowest[s, k]: best slowest stage of k layers in s + 1 stages.
    before = np.concatenate(([0.0], np.cumsum(np.asarray(layer_s, dtype=float))))
    slowest = np.full((num_stages, num_layers + 1), np.inf)
    slowest[0, 1:] = before[1:]
    cut = np.zeros((num_stages, num_layers + 1), dtype=np.int64)
    for stage in range(1, num_stages):
        for end in range(stage + 1, num_layers + 1):
            starts = np.arange(stage, end)
            costs = np.maximum(slowest[stage - 1, starts], before[end] - before[starts])
            cut[stage, end] = starts[int(np.argmin(costs))]
            slowest[stage, end] = costs.min()
    return _ranges(cut, num_layers)


def _ranges(cut: np.ndarray, num_layers: int) -> tuple[range, ...]:
    stages: list[range] = []
    end = num_layers
    for stage in reversed(range(len(cut))):
        start = int(cut[stage, end]) if stage else 0
        stages.append(range(start, end))
        end = start
    return tuple(reversed(stages))
