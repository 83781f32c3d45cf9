"""The labels of one step: which dimensions of operands and results are cut together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

from vocabulary.layer_graph import Labels

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a rule says about a step; the fields are those of vocabulary.layer_graph.Operator."""

    operands: tuple[Labels, ...]
    results: tuple[Labels, ...]
    sizes: tuple[int, ...]
    summed: frozenset[int] = frozenset()
    flops: float = 0.0
    is_light: bool = False
    is_opaque: bool = False


@final
@dataclass(slots=True)
class Sheet:
    """Labels given out so far, for the rules to write on: one row for each operand, one for each result."""

    operand_shapes: tuple[Shape, ...]
    result_shapes: tuple[Shape, ...]
    operands: list[list[int | None]] = field(init=False)
    results: list[list[int | None]] = field(init=False)
    sizes: list[int] = field(init=False, default_factory=list)
    summed: set[int] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.operands = [[None] * len(shape) for shape in self.operand_shapes]
        self.results = [[None] * len(shape) for shape in self.result_shapes]

    def label(
        self,
        *,
        operands: tuple[tuple[int, int], ...] = (),
        results: tuple[tuple[int, int], ...] = (),
        is_summed: bool = False,
    ) -> None:
        """One new label at those (array, dimension). Its size is the common divisor of theirs.

        A dimension of 1 cannot be cut, so it gets no label.
        """
        sizes = [self.operand_shapes[array][dim] for array, dim in operands]
        sizes += [self.result_shapes[array][dim] for array, dim in results]
        size = math.gcd(*sizes)
        if size <= 1:
            return
        self.sizes.append(size)
        number = len(self.sizes) - 1
        for array, dim in operands:
            self.operands[array][dim] = number
        for array, dim in results:
            self.results[array][dim] = number
        if is_summed:
            self.summed.add(number)

    def finished(self, *, flops: float = 0.0, is_light: bool = False, is_opaque: bool = False) -> Labelled:
        return Labelled(
            operands=tuple(map(tuple, self.operands)),
            results=tuple(map(tuple, self.results)),
            sizes=tuple(self.sizes),
            summed=frozenset(self.summed),
            flops=flops,
            is_light=is_light,
            is_opaque=is_opaque,
        )
