"""A model as a plain graph of tensors and operators: what a jaxpr becomes before it is placed.

Every dimension that may be cut carries a label of its operator. Cutting a label cuts every dimension that
carries it; results without it are partial sums if the label is summed. So one noun describes row, column,
head, expert, vocabulary, batch and sequence parallelism alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vocabulary.sharding import Sharding

# One label for each dimension; None must be whole on every device.
Labels = tuple[int | None, ...]
# For each mesh axis, in order, the dimension that it cuts; None: it holds replicas.
Layout = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An array of the model. `name` is empty for intermediates that nobody named."""

    shape: tuple[int, ...]
    element_bytes: int
    dtype: str = ""
    name: str = ""

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.element_bytes


@dataclass(frozen=True, slots=True)
class Operator:
    """One step. Tensors are numbers into the graph's.

    `sizes[label]` is into how many equal parts a label can be cut at most (any divisor of it works).
    `summed` labels are reduced: cut, each device has a part of the sum. `is_light`: no more than a pass over
    its operands, so it may follow one of them; without flops it only renames elements. `is_opaque`: nothing
    is known about it, so nothing is cut.
    """

    kind: str
    operands: tuple[int, ...]
    results: tuple[int, ...]
    operand_labels: tuple[Labels, ...]
    result_labels: tuple[Labels, ...]
    sizes: tuple[int, ...] = ()
    summed: frozenset[int] = frozenset()
    flops: float = 0.0
    is_light: bool = False
    is_opaque: bool = False

    def __post_init__(self) -> None:
        assert len(self.operands) == len(self.operand_labels), self
        assert len(self.results) == len(self.result_labels), self
        labels = [label for row in (*self.operand_labels, *self.result_labels) for label in row]
        assert all(label is None or 0 <= label < len(self.sizes) for label in labels), self


@dataclass(frozen=True, slots=True)
class LayerGraph:
    """Operators in an order in which they can run. A tensor that is none's result, parameter or input is

    a constant that every device holds.
    """

    tensors: tuple[GraphTensor, ...]
    operators: tuple[Operator, ...]
    parameters: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def parameter_bytes(self) -> int:
        return sum(self.tensors[index].num_bytes for index in self.parameters)

    @property
    def opaque_kinds(self) -> Mapping[str, int]:
        """Kinds of operators that nothing is known about, counted; those of constants alone do not matter."""
        found: dict[str, int] = {}
        computed = {*self.parameters, *self.inputs}
        for operator in self.operators:
            if computed.isdisjoint(operator.operands):
                continue
            computed.update(operator.results)
            if operator.is_opaque:
                found[operator.kind] = found.get(operator.kind, 0) + 1
        return found


def sharding_of(layout: Layout, tensor: GraphTensor, axes: tuple[tuple[str, int], ...]) -> Sharding:
    """The layout of a tensor by the names of the mesh's `axes`, which are (name, size)."""
    dims = tuple(
        tuple(name for (name, _), cut in zip(axes, layout, strict=True) if cut == dim)
        for dim in range(len(tensor.shape))
    )
    return Sharding(axes, dims)
