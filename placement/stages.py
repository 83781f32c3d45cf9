"""Cuts of a model's layers into pipeline stages: the min-max one (AlpaServe §4.1), and the even one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vocabulary.errors import Infeasible
from vocabulary.units import format_bytes


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Bytes of each layer on a device, and what one device has for a stage's layers."""

    layer_bytes: tuple[int, ...]
    stage_bytes: int


def cut_stages(
    layer_s: Sequence[float],
    num_stages: int,
    *,
    transfer_s: Sequence[float] | None = None,
    is_overlapped: bool = False,
    memory: StageMemory | None = None,
) -> tuple[range, ...]:
    """Contiguous layer ranges whose slowest stage is as quick as can be; none is empty.

    transfer_s[k]: seconds to pass layer k's output on; it counts where a stage ends after layer k, and the
    last stage passes nothing on. The sending stage is busy for that long, or, when `is_overlapped`, sends one
    batch while it computes the next, so that it takes the longer of the two. With `memory`, no stage holds
    more than a device has.
    Of equally good cuts the one whose stages end earliest, from the last stage backwards, where the stages
    before each are themselves cut this way.
    Dynamic programme F(s, k) = min over i of max(F(s - 1, i), cost of layers i .. k), O(layers^2 x stages).
    Raises Infeasible if there are fewer layers than stages, or no cut whose stages fit.
    """
    num_layers = len(layer_s)
    _check_enough(num_layers, num_stages)
    costs_s = _stage_costs_s(np.asarray(layer_s, dtype=float), transfer_s, is_overlapped, memory)
    # slowest[s, k]: best slowest stage of the first k layers in s + 1 stages.
    slowest = np.full((num_stages, num_layers + 1), np.inf)
    slowest[0] = costs_s[0]
    cut = np.zeros((num_stages, num_layers + 1), dtype=np.int64)
    for stage in range(1, num_stages):
        for end in range(stage + 1, num_layers + 1):
            starts = np.arange(stage, end)
            options_s = np.maximum(slowest[stage - 1, starts], costs_s[starts, end])
            cut[stage, end] = starts[int(np.argmin(options_s))]
            slowest[stage, end] = options_s.min()
    if not np.isfinite(slowest[-1, -1]):
        assert memory is not None, layer_s
        raise _too_large(memory, num_stages)
    return _ranges(cut, num_layers)


def slowest_stage_s(
    layer_s: Sequence[float],
    stages: Sequence[range],
    *,
    transfer_s: Sequence[float] | None = None,
    is_overlapped: bool = False,
) -> float:
    """What the busiest stage of a cut takes for one batch; the words are those of `cut_stages`."""
    costs_s = _stage_costs_s(np.asarray(layer_s, dtype=float), transfer_s, is_overlapped, None)
    return float(max(costs_s[stage.start, stage.stop] for stage in stages))


def even_stages(num_layers: int, num_stages: int) -> tuple[range, ...]:
    """Contiguous layers for every stage; sizes differ by at most one, the later stages have the larger.

    Raises Infeasible if a stage gets none.
    """
    _check_enough(num_layers, num_stages)
    bounds = [stage * num_layers // num_stages for stage in range(num_stages + 1)]
    return tuple(range(start, stop) for start, stop in pairwise(bounds))


def _check_enough(num_layers: int, num_stages: int) -> None:
    if not 1 <= num_stages <= num_layers:
        raise Infeasible(
            f"{num_layers} layers cannot be cut into {num_stages} stages",
            hint=f"choose a pipeline between 1 and {num_layers}",
        )


def _stage_costs_s(
    layer_s: np.ndarray,
    transfer_s: Sequence[float] | None,
    is_overlapped: bool,
    memory: StageMemory | None,
) -> np.ndarray:
    """costs[i, k]: seconds of a stage of layers i .. k - 1; infinite where it is empty or does not fit."""
    num_layers = len(layer_s)
    before_s = np.concatenate(([0.0], np.cumsum(layer_s)))
    costs_s = before_s[None, :] - before_s[:, None]
    if transfer_s is not None:
        assert len(transfer_s) == num_layers, (len(transfer_s), num_layers)
        passed_s = np.concatenate(([0.0], np.asarray(transfer_s, dtype=float)[:-1], [0.0]))
        costs_s = np.maximum(costs_s, passed_s) if is_overlapped else costs_s + passed_s
    if memory is not None:
        assert len(memory.layer_bytes) == num_layers, (len(memory.layer_bytes), num_layers)
        before_bytes = np.concatenate(([0], np.cumsum(memory.layer_bytes)))
        held_bytes = before_bytes[None, :] - before_bytes[:, None]
        costs_s = np.where(held_bytes > memory.stage_bytes, np.inf, costs_s)
    return np.where(np.tri(num_layers + 1, dtype=bool), np.inf, costs_s)


def _too_large(memory: StageMemory, num_stages: int) -> Infeasible:
    whole, largest = sum(memory.layer_bytes), max(memory.layer_bytes)
    return Infeasible(
        f"no cut into {num_stages} stages keeps each within {format_bytes(memory.stage_bytes)}: all layers "
        f"take {format_bytes(whole)}, the largest {format_bytes(largest)}",
        hint="raise pipeline or tensor, or use devices with more memory",
    )


def _ranges(cut: np.ndarray, num_layers: int) -> tuple[range, ...]:
    stages: list[range] = []
    end = num_layers
    for stage in reversed(range(len(cut))):
        start = int(cut[stage, end]) if stage else 0
        stages.append(range(start, end))
        end = start
    return tuple(reversed(stages))
