"""Which configurations served requests are told apart by: all together first, then those that matter alone.

Rows of a part add up those of its choices, so splitting a part can only lower the bound; it costs a column a
burst. A fleet of one configuration loses nothing by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from placement.bound.bursts import Bursts
from placement.bound.columns import Part
from placement.bound.fleet import Choice
from placement.bound.refine import Cut, refined
from vocabulary.deployment import Deployment

# Devices of a choice, as a share of all that are used, by which it matters.
SHARE = 0.02
# Rounds that lower the bound by less than these shares are not worth their time: until no part is split any
# more, and then.
SMALL_GAIN, CLOSE = 1e-4, 1e-6


@dataclass(frozen=True, slots=True)
class Solved:
    """at_most: requests in time; is_exact: no time was missing: what could be added lowers it no further."""

    at_most: float
    num_columns: int
    num_rows: int
    is_exact: bool


def solved(deployment: Deployment, choices: Sequence[Choice], bursts: Bursts, *, stop_s: float) -> Solved:
    """The lowest bound that there is time for; the next programme begins with the rows of the last."""
    parts: tuple[Part, ...] = (tuple(range(len(choices))),)
    cuts: tuple[Cut, ...] = ()
    at_most, num_columns, num_rows = np.inf, 0, 0
    is_exact, pace, small_gain = not choices, 0.0, SMALL_GAIN
    while not is_exact and time.perf_counter() < stop_s:
        found = refined(
            deployment,
            choices,
            bursts,
            parts=parts,
            stop_s=stop_s,
            cuts=cuts,
            pace=pace,
            small_gain=small_gain,
        )
        at_most = min(at_most, found.at_most)
        num_columns, num_rows = max(num_columns, found.num_columns), max(num_rows, found.num_rows)
        finer = split(parts, choices, found.groups)
        is_exact = finer == parts and small_gain == CLOSE and not found.ran_out
        if found.ran_out:
            break
        small_gain = CLOSE if finer == parts else small_gain
        cuts, pace, parts = tuple(_inherited(found.cuts, parts, finer)), found.pace, finer
    return Solved(at_most, num_columns, num_rows, is_exact)


def split(
    parts: tuple[Part, ...], choices: Sequence[Choice], groups: NDArray[np.float64]
) -> tuple[Part, ...]:
    """Every choice that matters alone, and the others as they were. groups: of each choice [choices]."""
    devices = groups * np.array([choice.config.num_devices for choice in choices])
    matters = devices > SHARE * max(devices.sum(), 1.0)
    finer: list[Part] = []
    for part in parts:
        finer += [(index,) for index in part if matters[index] or len(part) == 1]
        rest = tuple(index for index in part if not matters[index] and len(part) > 1)
        finer += [rest] if rest else []
    return tuple(finer)


def _inherited(cuts: Sequence[Cut], parts: Sequence[Part], finer: Sequence[Part]) -> Iterator[Cut]:
    """The same intervals for the parts of a part: together they say no less."""
    for (part_index, set_index), interval in cuts:
        for finer_index, part in enumerate(finer):
            if set(part) <= set(parts[part_index]):
                yield (finer_index, set_index), interval
