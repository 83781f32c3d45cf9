"""Layer graphs written by hand, and drawn at random, for tests without JAX."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from placement.intra.mesh import DeviceMesh, MeshAxis
from vocabulary.layer_graph import GraphTensor, LayerGraph, Operator

FLOAT_BYTES = 4


@dataclass
class Drawing:
    """Collects tensors and operators."""

    tensors: list[GraphTensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    parameters: list[int] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)

    def tensor(self, *shape: int, name: str = "") -> int:
        self.tensors.append(GraphTensor(shape, FLOAT_BYTES, "float32", name))
        return len(self.tensors) - 1

    def parameter(self, *shape: int, name: str = "") -> int:
        self.parameters.append(self.tensor(*shape, name=name))
        return self.parameters[-1]

    def input(self, *shape: int) -> int:
        self.inputs.append(self.tensor(*shape, name="x"))
        return self.inputs[-1]

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def matmul(self, x: int, w: int) -> int:
        """(rows, inner) x (inner, columns)."""
        (rows, inner), (_, columns) = self.shape(x), self.shape(w)
        result = self.tensor(rows, columns)
        self.operators.append(
            Operator(
                "matmul",
                (x, w),
                (result,),
                operand_labels=((0, 2), (2, 1)),
                result_labels=((0, 1),),
                sizes=(rows, columns, inner),
                summed=frozenset({2}),
                flops=2.0 * rows * columns * inner,
            )
        )
        return result

    def add(self, *operands: int) -> int:
        shape = self.shape(operands[0])
        result = self.tensor(*shape)
        labels = ((0, 1),)
        self.operators.append(
            Operator(
                "add",
                operands,
                (result,),
                labels * len(operands),
                labels,
                shape,
                flops=float(shape[0] * shape[1]),
                is_light=True,
            )
        )
        return result

    def opaque(self, x: int) -> int:
        result = self.tensor(*self.shape(x))
        labels = ((None, None),)
        self.operators.append(Operator("mystery", (x,), (result,), labels, labels, is_opaque=True))
        return result

    def graph(self, *outputs: int) -> LayerGraph:
        return LayerGraph(
            tuple(self.tensors),
            tuple(self.operators),
            tuple(self.parameters),
            tuple(self.inputs),
            outputs,
        )


def feed_forward(*, rows: int = 1, width: int = 64, hidden: int = 256, layers: int = 1) -> LayerGraph:
    """x + (x up) down, so often."""
    drawing = Drawing()
    x = drawing.input(rows, width)
    for layer in range(layers):
        up = drawing.matmul(x, drawing.parameter(width, hidden, name=f"{layer}.up"))
        down = drawing.matmul(up, drawing.parameter(hidden, width, name=f"{layer}.down"))
        x = drawing.add(x, down)
    return drawing.graph(x)


def random_graph(seed: int) -> LayerGraph:
    """A few operators over a few matrices, with tensors that several take, and sometimes odd sizes."""
    draw = random.Random(seed)
    drawing = Drawing()
    alive = [drawing.input(draw.choice([1, 4, 8]), draw.choice([8, 12]))]
    for _ in range(draw.randint(2, 3)):
        x = draw.choice(alive)
        same = [one for one in alive if drawing.shape(one) == drawing.shape(x) and one != x]
        if same and draw.random() < 0.5:
            alive.append(drawing.add(x, draw.choice(same)))
        elif draw.random() < 0.1:
            alive.append(drawing.opaque(x))
        else:
            columns = draw.choice([6, 8, 12, drawing.shape(x)[1]])
            alive.append(drawing.matmul(x, drawing.parameter(drawing.shape(x)[1], columns)))
    return drawing.graph(alive[-1])


def ring(size: int = 4, *, latency_s: float = 1e-6, bandwidth: float = 1e9) -> DeviceMesh:
    """Devices that compute so slowly that parts of little matrices are worth sending."""
    return DeviceMesh((MeshAxis("tensor", size, latency_s, bandwidth),), 1e9, 1e10)


def grid(outer: int = 2, inner: int = 2) -> DeviceMesh:
    axes = (MeshAxis("host", outer, 1e-6, 3e8), MeshAxis("tensor", inner, 1e-6, 1e9))
    return DeviceMesh(axes, 1e9, 1e10)
