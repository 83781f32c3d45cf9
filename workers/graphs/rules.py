"""What each primitive does to dimensions. A primitive without a rule is opaque: whole on every device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from workers.graphs.labels import Labelled, Shape, Sheet
from workers.graphs.moving_rules import (
    label_broadcast,
    label_reshape,
    label_squeeze,
    label_transpose,
    label_windows,
)

Options = Mapping[str, Any]
Rule = Callable[[Sheet, Options], Labelled]


def label_step(
    kind: str, options: Options, operands: tuple[Shape, ...], results: tuple[Shape, ...]
) -> Labelled:
    """The labels of a primitive, by its name."""
    sheet = Sheet(operands, results)
    rule = RULES.get(kind)
    return sheet.finished(is_opaque=True) if rule is None else rule(sheet, options)


def _elementwise(sheet: Sheet, options: Options) -> Labelled:
    """Dimensions in line; an operand may have fewer elements (1, or no dimension) and is repeated."""
    shape = sheet.result_shapes[0]
    for dim, size in enumerate(shape):
        operands = tuple(
            (array, dim)
            for array, one in enumerate(sheet.operand_shapes)
            if len(one) == len(shape) and one[dim] == size
        )
        sheet.label(operands=operands, results=tuple((array, dim) for array in range(len(sheet.results))))
    return sheet.finished(flops=float(math.prod(shape)), is_light=True)


def _dot_general(sheet: Sheet, options: Options) -> Labelled:
    (left_sum, right_sum), (left_batch, right_batch) = options["dimension_numbers"]
    left, right = sheet.operand_shapes[:2]
    position = 0
    for one, other in zip(left_batch, right_batch, strict=True):
        sheet.label(operands=((0, one), (1, other)), results=((0, position),))
        position += 1
    for array, shape, taken in (
        (0, left, {*left_sum, *left_batch}),
        (1, right, {*right_sum, *right_batch}),
    ):
        for dim in range(len(shape)):
            if dim not in taken:
                sheet.label(operands=((array, dim),), results=((0, position),))
                position += 1
    for one, other in zip(left_sum, right_sum, strict=True):
        sheet.label(operands=((0, one), (1, other)), is_summed=True)
    flops = 2.0 * math.prod(sheet.result_shapes[0]) * math.prod(left[dim] for dim in left_sum)
    return sheet.finished(flops=flops)


def _reduce(sheet: Sheet, options: Options, *, is_summed: bool = True) -> Labelled:
    """Sums, maxima and the like over `axes`. An index of a maximum is not a sum of parts."""
    axes, position = set(options["axes"]), 0
    for dim in range(len(sheet.operand_shapes[0])):
        operands = tuple((array, dim) for array in range(len(sheet.operands)))
        if dim not in axes:
            results = tuple((array, position) for array in range(len(sheet.results)))
            sheet.label(operands=operands, results=results)
            position += 1
        elif is_summed:
            sheet.label(operands=operands, is_summed=True)
    return sheet.finished(flops=float(math.prod(sheet.operand_shapes[0])), is_light=True)


def _reduce_to_index(sheet: Sheet, options: Options) -> Labelled:
    return _reduce(sheet, options, is_summed=False)


def _along_axis(sheet: Sheet, options: Options) -> Labelled:
    """Everything but one dimension is independent: sort, top_k, cumulative sums, split."""
    rank = len(sheet.operand_shapes[0])
    axis = options.get("axis", options.get("dimension", rank - 1)) % rank
    for dim in range(rank):
        if dim != axis:
            operands = tuple((array, dim) for array in range(len(sheet.operands)))
            sheet.label(operands=operands, results=tuple((array, dim) for array in range(len(sheet.results))))
    return sheet.finished()


def _split(sheet: Sheet, options: Options) -> Labelled:
    _along_axis(sheet, options)
    return sheet.finished(is_light=True)


def _concatenate(sheet: Sheet, options: Options) -> Labelled:
    return _split(sheet, {"axis": options["dimension"]})


def _iota(sheet: Sheet, options: Options) -> Labelled:
    return sheet.finished(is_light=True)


def _gather(sheet: Sheet, options: Options) -> Labelled:
    """Dimensions taken whole stay; a looked-up one is summed, as in an embedding cut by vocabulary."""
    numbers = options["dimension_numbers"]
    table, slices = sheet.operand_shapes[0], options["slice_sizes"]
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    offsets = iter(numbers.offset_dims)
    for dim, size in enumerate(table):
        if dim in dropped:
            if dim in numbers.start_index_map and dim not in numbers.operand_batching_dims:
                sheet.label(operands=((0, dim),), is_summed=True)
            continue
        offset = next(offsets)
        if slices[dim] == size:
            sheet.label(operands=((0, dim),), results=((0, offset),))
    pairs = dict(zip(numbers.start_indices_batching_dims, numbers.operand_batching_dims, strict=True))
    batch = [dim for dim in range(len(sheet.result_shapes[0])) if dim not in numbers.offset_dims]
    for index_dim, result_dim in enumerate(batch):
        table_dims = ((0, pairs[index_dim]),) if index_dim in pairs else ()
        sheet.label(operands=(*table_dims, (1, index_dim)), results=((0, result_dim),))
    return sheet.finished()


def _scatter(sheet: Sheet, options: Options) -> Labelled:
    """Only dimensions that updates cover whole are independent."""
    numbers = options["dimension_numbers"]
    shape, updates = sheet.operand_shapes[0], sheet.operand_shapes[2]
    skipped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    windows = iter(numbers.update_window_dims)
    for dim, size in enumerate(shape):
        if dim in skipped:
            continue
        window = next(windows)
        if updates[window] == size:
            sheet.label(operands=((0, dim), (2, window)), results=((0, dim),))
    return sheet.finished()


def _convolution(sheet: Sheet, options: Options) -> Labelled:
    """Batch and features; the picture stays whole."""
    numbers = options["dimension_numbers"]
    if options["feature_group_count"] != 1 or options["batch_group_count"] != 1:
        return sheet.finished(is_opaque=True)
    image, kernel, result = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    sheet.label(operands=((0, image[0]),), results=((0, result[0]),))
    sheet.label(operands=((1, kernel[0]),), results=((0, result[1]),))
    sheet.label(operands=((0, image[1]), (1, kernel[1])), is_summed=True)
    num_products = math.prod(sheet.operand_shapes[1]) // sheet.operand_shapes[1][kernel[0]]
    return sheet.finished(flops=2.0 * math.prod(sheet.result_shapes[0]) * num_products)


_ELEMENTWISE = (
    "abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil clamp "
    "conj convert_element_type copy copy_p cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 "
    "floor ge gt imag integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not "
    "optimization_barrier or population_count pow real reduce_precision rem round rsqrt select_n "
    "sharding_constraint shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square "
    "stop_gradient sub tan tanh xor"
)

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), _elementwise),
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"), _reduce),
    **dict.fromkeys(("reduce_and", "reduce_or", "reduce_xor"), _reduce),
    **dict.fromkeys(("argmax", "argmin"), _reduce_to_index),
    **dict.fromkeys(("sort", "top_k", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), _along_axis),
    **dict.fromkeys(("slice", "dynamic_slice", "dynamic_update_slice", "pad", "rev"), label_windows),
    "split": _split,
    "concatenate": _concatenate,
    "iota": _iota,
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
    "gather": _gather,
    "scatter": _scatter,
    "scatter-add": _scatter,
    "scatter_add": _scatter,
    "broadcast_in_dim": label_broadcast,
    "reshape": label_reshape,
    "transpose": label_transpose,
    "squeeze": label_squeeze,
}
