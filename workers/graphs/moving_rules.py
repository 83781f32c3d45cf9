"""Rules of primitives that only move elements: broadcast, reshape, transpose, squeeze, windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workers.graphs.labels import Labelled, Shape, Sheet

Options = Mapping[str, Any]


def label_broadcast(sheet: Sheet, options: Options) -> Labelled:
    """New dimensions may be cut freely: every device repeats what it has."""
    origin = {result: dim for dim, result in enumerate(options["broadcast_dimensions"])}
    for dim, size in enumerate(sheet.result_shapes[0]):
        is_kept = dim in origin and sheet.operand_shapes[0][origin[dim]] == size
        sheet.label(operands=((0, origin[dim]),) if is_kept else (), results=((0, dim),))
    return sheet.finished(is_light=True)


def label_transpose(sheet: Sheet, options: Options) -> Labelled:
    for position, dim in enumerate(options["permutation"]):
        sheet.label(operands=((0, dim),), results=((0, position),))
    return sheet.finished(is_light=True)


def label_squeeze(sheet: Sheet, options: Options) -> Labelled:
    rank = len(sheet.operand_shapes[0])
    dropped = {dim % rank for dim in options["dimensions"]}
    kept = [dim for dim in range(rank) if dim not in dropped]
    for position, dim in enumerate(kept):
        sheet.label(operands=((0, dim),), results=((0, position),))
    return sheet.finished(is_light=True)


def label_reshape(sheet: Sheet, options: Options) -> Labelled:
    """Dimensions that become others together: only the first of each side can be cut without moving elements.

    (heads x width) -> (heads, width) cut by heads, and back. `Sheet.label` takes their common divisor.
    """
    if options.get("dimensions") is not None:
        return sheet.finished(is_opaque=True)
    for before, after in _pairs(sheet.operand_shapes[0], sheet.result_shapes[0]):
        sheet.label(operands=((0, before),), results=((0, after),))
    return sheet.finished(is_light=True)


def label_windows(sheet: Sheet, options: Options) -> Labelled:
    """Slices, pads and updates of a part: dimensions that stay as they are may be cut.

    Further operands are the starts of the part, scalars; or the update, of the same rank.
    """
    result, rank = sheet.result_shapes[0], len(sheet.result_shapes[0])
    arrays = [array for array, shape in enumerate(sheet.operand_shapes) if len(shape) == rank > 0]
    turned = set(options.get("dimensions") or ())
    for dim, size in enumerate(result):
        is_kept = all(sheet.operand_shapes[array][dim] == size for array in arrays)
        if is_kept and dim not in turned and not _is_padded(options, dim):
            sheet.label(operands=tuple((array, dim) for array in arrays), results=((0, dim),))
    return sheet.finished(is_light=True)


def _is_padded(options: Options, dim: int) -> bool:
    """Padding by negative and positive amounts may keep the size and still move elements."""
    return any(options["padding_config"][dim]) if "padding_config" in options else False


def _pairs(before: Shape, after: Shape) -> Iterator[tuple[int, int]]:
    """The first dimensions (not 1) of each smallest run of dimensions with the same number of elements."""
    if 0 in before or 0 in after:
        return
    one, other = 0, 0
    while one < len(before) and other < len(after):
        if before[one] == 1:
            one += 1
        elif after[other] == 1:
            other += 1
        else:
            yield one, other
            one, other = _ends(before, after, one, other)


def _ends(before: Shape, after: Shape, one: int, other: int) -> tuple[int, int]:
    """Past the run that starts at those dimensions."""
    left, right = before[one], after[other]
    one, other = one + 1, other + 1
    while left != right:
        if left < right:
            left, one = left * before[one], one + 1
        else:
            right, other = right * after[other], other + 1
    return one, other
