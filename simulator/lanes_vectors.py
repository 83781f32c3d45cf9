"""Rows of LANES floats as one value in compiled code: LLVM's vectors, whatever the processor's own width.

numba's loops over lanes are at the mercy of LLVM's loop vectoriser, which gives up where it cannot prove that
arrays do not overlap: every clock here is found through an index. Importing this file imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

# At least two of the widest registers there are, so that their latencies overlap.
LANES = 16

_FLOAT, _INT32, _INT64 = ir.DoubleType(), ir.IntType(32), ir.IntType(64)
_ROW = ir.VectorType(_FLOAT, LANES)


class Row(types.Type):
    """numba's type of LANES floats, one for each candidate."""

    def __init__(self) -> None:
        super().__init__(name=f"Row({LANES})")


@register_model(Row)
class _RowModel(models.PrimitiveModel):
    def __init__(self, manager: Any, row_type: Row) -> None:
        super().__init__(manager, row_type, _ROW)


_row = Row()
# What an intrinsic gives numba: its types, and who writes it in LLVM.
Built = tuple[Any, Callable[..., Any]]


def stride(num_stages: int) -> int:
    """Floats that the clocks of one group take in memory, so that few loads fetch them all."""
    return num_stages if num_stages <= 2 else -(-num_stages // 4) * 4


@intrinsic
def wide(typing: Any, value: types.Type) -> Built:
    """The same float in every lane."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        empty = ir.Constant(_ROW, ir.Undefined)
        return _picked(builder, builder.insert_element(empty, arguments[0], _INT32(0)), empty, [0] * LANES)

    return _row(types.float64), build


@intrinsic
def load(typing: Any, floats: types.Type, at: types.Type) -> Built:
    """LANES floats of a contiguous array, from index `at`."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.load(_row_pointer(context, builder, signature, arguments), align=8)

    return _row(floats, at), build


@intrinsic
def store(typing: Any, floats: types.Type, at: types.Type, row: types.Type) -> Built:
    """Writes a row to a contiguous array, from index `at`."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        builder.store(arguments[2], _row_pointer(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.none(floats, at, row), build


@intrinsic
def plus(typing: Any, one: types.Type, other: types.Type) -> Built:
    """one + other."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.fadd(arguments[0], arguments[1])

    return _row(one, other), build


@intrinsic
def minus(typing: Any, one: types.Type, other: types.Type) -> Built:
    """one - other."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.fsub(arguments[0], arguments[1])

    return _row(one, other), build


@intrinsic
def occupied(typing: Any, free_s: types.Type, time_s: types.Type, latency_s: types.Type) -> Built:
    """max(free_s, time_s) + latency_s: when a stage ends."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        free, time, latency = arguments
        start = builder.select(builder.fcmp_ordered(">", free, time), free, time)
        return builder.fadd(start, latency)

    return _row(free_s, time_s, latency_s), build


@intrinsic
def if_less(
    typing: Any, one: types.Type, other: types.Type, then: types.Type, otherwise: types.Type
) -> Built:
    """`then` in the lanes where one < other, else `otherwise`."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        return builder.select(builder.fcmp_ordered("<", *arguments[:2]), *arguments[2:])

    return _row(one, other, then, otherwise), build


@intrinsic(prefer_literal=True)
def gather(
    typing: Any, clocks_s: types.Type, offsets: types.Type, at: types.Type, num_stages: types.IntegerLiteral
) -> Built:
    """Rows of all stages, a tuple: those of lane k are at clocks_s[offsets[at + k]] and on."""
    number = num_stages.literal_value

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        clocks, offset = (_pointer(context, builder, signature, arguments, index) for index in (0, 1))
        first = builder.gep(offset, [arguments[2]])
        places = [_loaded(builder, first, _INT64(lane)) for lane in range(LANES)]
        rows: list[ir.Value] = []
        for start in range(0, number, _block(number)):
            rows += _gather_block(builder, clocks, places, start, _block(number))
        return context.make_tuple(builder, signature.return_type, rows[:number])

    return types.UniTuple(_row, number)(clocks_s, offsets, at, num_stages), build


@intrinsic
def scatter(
    typing: Any,
    clocks_s: types.Type,
    offsets: types.Type,
    at: types.Type,
    chosen: types.Type,
    rows: types.BaseTuple,
) -> Built:
    """Lane k's stages of `rows` (a tuple) go to clocks_s[offsets[at + chosen[k]]] and on."""
    number = len(rows)

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        clocks, offset = (_pointer(context, builder, signature, arguments, index) for index in (0, 1))
        first = builder.gep(offset, [arguments[2]])
        places = [_loaded(builder, first, index) for index in _indices(builder, arguments[3])]
        stages = [builder.extract_value(arguments[4], stage) for stage in range(number)]
        block = _block(number)
        stages += [stages[-1]] * (-number % block)
        for start in range(0, number, block):
            _scatter_block(builder, clocks, places, start, stages[start : start + block])
        return context.get_dummy_value()

    return types.none(clocks_s, offsets, at, chosen, rows), build


@intrinsic
def count(typing: Any, counts: types.Type, at: types.Type, chosen: types.Type) -> Built:
    """One more at counts[at + chosen[k]] for every lane k; no two are the same."""

    def build(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[ir.Value]) -> Any:
        first = builder.gep(_pointer(context, builder, signature, arguments, 0), [arguments[1]])
        for index in _indices(builder, arguments[2]):
            place = builder.gep(first, [index])
            builder.store(builder.add(builder.load(place), _INT32(1)), place)
        return context.get_dummy_value()

    return types.none(counts, at, chosen), build


def _block(num_stages: int) -> int:
    """Stages fetched by one load."""
    return min(4, stride(num_stages))


def _gather_block(
    builder: ir.IRBuilder, clocks: ir.Value, places: Sequence[ir.Value], start: int, size: int
) -> list[ir.Value]:
    """Rows of `size` stages from `start` on: one load a lane, turned four lanes at a time."""
    loaded = [builder.load(_block_pointer(builder, clocks, place, start, size), align=8) for place in places]
    quads = [_columns(builder, loaded[lane : lane + 4]) for lane in range(0, LANES, 4)]
    return [_joined(builder, [quad[stage] for quad in quads]) for stage in range(size)]


def _scatter_block(
    builder: ir.IRBuilder, clocks: ir.Value, places: Sequence[ir.Value], start: int, rows: list[ir.Value]
) -> None:
    for lane in range(0, LANES, 4):
        quad = [_picked(builder, row, row, range(lane, lane + 4)) for row in rows]
        for place, clock in zip(places[lane : lane + 4], _lanes(builder, quad), strict=True):
            builder.store(clock, _block_pointer(builder, clocks, place, start, len(rows)), align=8)


def _columns(builder: ir.IRBuilder, lanes: list[ir.Value]) -> list[ir.Value]:
    """Four lanes of 1, 2 or 4 stages, as stages of four lanes."""
    match lanes[0].type.count:
        case 1:
            return [_joined(builder, lanes)]
        case 2:
            pairs = [(lanes[0], lanes[1]), (lanes[2], lanes[3])]
            even = [_picked(builder, *pair, [0, 2]) for pair in pairs]
            odd = [_picked(builder, *pair, [1, 3]) for pair in pairs]
            return [_joined(builder, even), _joined(builder, odd)]
        case _:
            return _turned(builder, lanes)


def _lanes(builder: ir.IRBuilder, columns: list[ir.Value]) -> list[ir.Value]:
    """The inverse of `_columns`."""
    match len(columns):
        case 1:
            return [_picked(builder, columns[0], columns[0], [lane]) for lane in range(4)]
        case 2:
            return [_picked(builder, columns[0], columns[1], [lane, lane + 4]) for lane in range(4)]
        case _:
            return _turned(builder, columns)


def _turned(builder: ir.IRBuilder, square: list[ir.Value]) -> list[ir.Value]:
    """Four vectors of four, transposed by the eight shuffles that need no more than one register each."""
    even = [_picked(builder, square[i], square[i + 1], [0, 4, 2, 6]) for i in (0, 2)]
    odd = [_picked(builder, square[i], square[i + 1], [1, 5, 3, 7]) for i in (0, 2)]
    low, high = [0, 1, 4, 5], [2, 3, 6, 7]
    return [_picked(builder, one[0], one[1], half) for half in (low, high) for one in (even, odd)]


def _joined(builder: ir.IRBuilder, parts: list[ir.Value]) -> ir.Value:
    """One vector after the other."""
    while len(parts) > 1:
        both = range(2 * parts[0].type.count)
        parts = [_picked(builder, parts[i], parts[i + 1], both) for i in range(0, len(parts), 2)]
    return parts[0]


def _picked(builder: ir.IRBuilder, one: ir.Value, other: ir.Value, places: Sequence[int]) -> ir.Value:
    mask = ir.Constant(ir.VectorType(_INT32, len(places)), [_INT32(place) for place in places])
    return builder.shuffle_vector(one, other, mask)


def _indices(builder: ir.IRBuilder, row: ir.Value) -> list[ir.Value]:
    """A row of whole numbers, one by one."""
    whole = builder.fptosi(row, ir.VectorType(_INT32, LANES))
    return [builder.zext(builder.extract_element(whole, _INT32(lane)), _INT64) for lane in range(LANES)]


def _loaded(builder: ir.IRBuilder, first: ir.Value, index: ir.Value) -> ir.Value:
    return builder.zext(builder.load(builder.gep(first, [index])), _INT64)


def _block_pointer(
    builder: ir.IRBuilder, clocks: ir.Value, place: ir.Value, start: int, size: int
) -> ir.Value:
    first = builder.gep(clocks, [builder.add(place, _INT64(start))])
    return builder.bitcast(first, ir.VectorType(_FLOAT, size).as_pointer())


def _pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any, index: int) -> ir.Value:
    """Where the array that is argument `index` starts."""
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data


def _row_pointer(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
    first = builder.gep(_pointer(context, builder, signature, arguments, 0), [arguments[1]])
    return builder.bitcast(first, _ROW.as_pointer())
