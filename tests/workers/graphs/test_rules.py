"""Labels against the arithmetic itself: parts of operands must give parts of results, or parts of a sum."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from vocabulary.layer_graph import Operator
from workers.graphs.program import read_program
from workers.graphs.reading import layer_graph

PARTS = 2


@dataclass(frozen=True)
class Case:
    """`function` computes a whole or a part alike; of its operators the one of that `kind` is looked at."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    function: Callable[..., object]
    indices: tuple[int, ...] = ()


CASES = [
    Case("add", "add", ((4, 6), (4, 6)), jnp.add),
    Case("times a row", "mul", ((4, 6), (1, 6)), jnp.multiply),
    Case("select", "select_n", ((4, 6), (4, 6)), lambda x, y: jnp.where(x > 0, x, y)),
    Case("batched product", "dot_general", ((4, 6, 8), (4, 8, 2)), jnp.matmul),
    Case("experts", "dot_general", ((4, 6, 8), (2, 10, 8)), lambda x, w: jnp.einsum("bld,efd->blef", x, w)),
    Case("two sums", "dot_general", ((4, 2, 8), (2, 6, 8)), lambda x, w: jnp.einsum("bef,edf->bd", x, w)),
    Case("transpose", "transpose", ((4, 6, 2),), lambda x: jnp.transpose(x, (2, 0, 1))),
    Case("sum", "reduce_sum", ((4, 6, 2),), lambda x: x.sum((0, 2))),
    Case("maximum", "reduce_max", ((4, 6),), lambda x: x.max(1)),
    Case("where most is", "argmax", ((4, 6),), lambda x: jnp.argmax(x, 1)),
    Case("running sum", "cumsum", ((4, 6),), lambda x: jnp.cumsum(x, 1)),
    Case("sort", "sort", ((4, 6),), lambda x: jnp.sort(x, axis=0)),
    Case("best two", "top_k", ((4, 6),), lambda x: jax.lax.top_k(x, 2)),
    Case("split", "split", ((4, 6),), lambda x: jnp.split(x, 2, axis=1)),
    Case("join", "concatenate", ((4, 6), (4, 2)), lambda x, y: jnp.concatenate([x, y], 1)),
    Case("squeeze", "squeeze", ((4, 1, 6),), lambda x: jax.lax.squeeze(x, [1])),
    Case("slice", "slice", ((4, 6),), lambda x: x[:, 1:5]),
    Case("pad", "pad", ((4, 6),), lambda x: jnp.pad(x, ((0, 0), (1, 2)))),
    Case("reverse", "rev", ((4, 6),), lambda x: x[:, ::-1]),
    Case(
        "part", "dynamic_slice", ((4, 6),), lambda x: jax.lax.dynamic_slice_in_dim(x, jnp.int32(1), 3, axis=1)
    ),
    Case("rows of a table", "gather", ((8, 6), (4, 2)), lambda x, i: jnp.take(x, i, axis=0), indices=(1,)),
    Case(
        "convolution",
        "conv_general_dilated",
        ((2, 4, 5), (6, 4, 3)),
        lambda x, w: jax.lax.conv_general_dilated(x, w, (1,), "SAME"),
    ),
]


def arrays_of(case: Case) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [
        draw.integers(0, 8, shape)
        if index in case.indices
        else draw.standard_normal(shape).astype(np.float32)
        for index, shape in enumerate(case.shapes)
    ]


def operator_of(case: Case, arrays: list[np.ndarray]) -> tuple[Operator, dict[int, int]]:
    """The case's operator, and which argument each of its operands is, followed through what only renames."""
    graph = layer_graph(read_program(lambda _, *rest: case.function(*rest), (), *arrays))
    origin = {tensor: index for index, tensor in enumerate(graph.inputs)}
    for operator in graph.operators:
        if operator.kind == case.kind:
            return operator, origin
        if len(operator.operands) >= 1 and operator.operands[0] in origin:
            same = graph.tensors[operator.results[0]].shape == graph.tensors[operator.operands[0]].shape
            if same and operator.kind in ("convert_element_type", "broadcast_in_dim", "max", "min", "copy"):
                origin[operator.results[0]] = origin[operator.operands[0]]
    raise AssertionError([operator.kind for operator in graph.operators])


def part_of(array: np.ndarray, labels: tuple[int | None, ...], label: int, part: int) -> np.ndarray:
    """The part of an array along the dimension with that label; the whole if it has none."""
    if label not in labels:
        return array
    return np.split(array, PARTS, axis=labels.index(label))[part]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_label_cuts_as_it_says(case):
    arrays = arrays_of(case)
    operator, origin = operator_of(case, arrays)
    labels_of = {
        origin[tensor]: labels
        for tensor, labels in zip(operator.operands, operator.operand_labels, strict=True)
        if tensor in origin
    }
    whole = jax.tree.leaves(case.function(*arrays))
    checked = 0
    for label, size in enumerate(operator.sizes):
        is_lookup = case.kind == "gather" and label in operator.summed
        if size % PARTS or is_lookup or not any(label in row for row in labels_of.values()):
            continue
        checked += 1
        parts = [
            jax.tree.leaves(
                case.function(
                    *(
                        part_of(array, labels_of.get(index, ()), label, part)
                        for index, array in enumerate(arrays)
                    )
                )
            )
            for part in range(PARTS)
        ]
        for index, labels in enumerate(operator.result_labels):
            pieces = [part[index] for part in parts]
            if label in labels:
                found = np.concatenate(pieces, axis=labels.index(label))
            else:
                assert label in operator.summed, (label, operator)
                found = np.max(pieces, axis=0) if case.kind == "reduce_max" else np.sum(pieces, axis=0)
            np.testing.assert_allclose(found, whole[index], rtol=1e-5, atol=1e-6)
    assert checked >= 1


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ((4, 12), (4, 3, 4), {(0, 0): 4, (1, 1): 3}),
        ((4, 3, 4), (4, 12), {(0, 0): 4, (1, 1): 3}),
        ((2, 3, 4), (6, 4), {(0, 0): 2, (2, 1): 4}),
        ((6, 4), (4, 6), {(0, 0): 2}),
        ((1, 8, 1), (8,), {(1, 0): 8}),
        ((8,), (1, 2, 4), {(0, 1): 2}),
        ((), (1, 1), {}),
    ],
)
def test_a_reshape_is_cut_only_where_no_element_changes_its_device(before, after, pairs):
    graph = layer_graph(read_program(lambda _, x: jax.lax.reshape(x, after), (), jnp.zeros(before)))
    (operator,) = graph.operators
    found = {
        (operator.operand_labels[0].index(label), operator.result_labels[0].index(label)): size
        for label, size in enumerate(operator.sizes)
    }
    assert found == pairs
    values = np.arange(np.prod(before)).reshape(before)
    for (dim, to), size in pairs.items():
        for num_parts in (one for one in range(2, size + 1) if size % one == 0):
            parts = np.split(values, num_parts, axis=dim)
            wanted = np.split(values.reshape(after), num_parts, axis=to)
            assert [np.sort(one.ravel()).tolist() for one in parts] == [
                np.sort(one.ravel()).tolist() for one in wanted
            ]


def test_a_table_cut_by_its_rows_gives_parts_of_a_sum():
    graph = layer_graph(read_program(lambda _, x, i: x[i], (), jnp.zeros((8, 6)), jnp.zeros((4, 2), int)))
    gather = next(one for one in graph.operators if one.kind == "gather")
    rows = gather.operand_labels[0][0]
    assert rows in gather.summed
    assert rows not in gather.result_labels[0]


def test_a_scan_is_unrolled_and_calls_are_inlined():
    def scanned(ws, x):
        def layer(carry, w):
            return jax.checkpoint(jax.jit(lambda y: jax.nn.relu(y @ w)))(carry), carry.sum()

        return jax.lax.scan(layer, x, ws, reverse=True)

    graph = layer_graph(read_program(scanned, jnp.zeros((3, 8, 8)), jnp.zeros((4, 8))))
    assert [one.kind for one in graph.operators].count("dot_general") == 3
    assert not graph.opaque_kinds


def test_what_has_no_rule_is_opaque_and_named():
    graph = layer_graph(read_program(lambda _, x: jnp.linalg.cholesky(x), (), jnp.zeros((4, 4))))
    assert "cholesky" in graph.opaque_kinds


def test_parameters_are_named_by_their_path():
    parameters = {"layers": [{"w": jnp.zeros((2, 2))}]}
    graph = layer_graph(read_program(lambda p, x: x @ p["layers"][0]["w"], parameters, jnp.zeros((1, 2))))
    assert [graph.tensors[number].name for number in graph.parameters] == ["layers.0.w"]
