"""Outcome files: what became of every request, one CSV row each, in arrival order."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.outcomes import FATE_CODE, FATES, NO_GROUP, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Tokens, Trace

COLUMNS = ("request_id", "model", "arrival_s", "group", "good", "finish_s", "reason")
# Only where requests ask for tokens; first_token_s is empty where none came.
TOKEN_COLUMNS = ("input_tokens", "output_tokens", "first_token_s")
# The reason of a request that was served, but past its objective; the others are the values of Fate.
LATE = "late"


def format_outcomes(outcomes: Outcomes, *, placement: Placement) -> str:
    """`good` is 0 or 1; `group` is the id in the plan; `reason` says why a request is not good, else empty.

    Times are written so that reading them gives the same float64.
    """
    names = _quoted(outcomes.trace.models)
    # The last name is at NO_GROUP, -1.
    groups = [*_quoted(tuple(group.id for group in placement.groups)), ""]
    reasons = [fate.value for fate in FATES]
    served_code = FATE_CODE[Fate.SERVED]
    rows = zip(
        outcomes.trace.model_index.tolist(),
        outcomes.trace.arrival_s.tolist(),
        outcomes.group_index.tolist(),
        outcomes.good.tolist(),
        outcomes.finish_s.tolist(),
        outcomes.fate.tolist(),
        strict=True,
    )
    lines = [",".join(COLUMNS)]
    for request_id, (model, arrival_s, group, good, finish_s, fate) in enumerate(rows):
        start = f"{request_id},{names[model]},{arrival_s!r},{groups[group]}"
        if fate == served_code:
            lines.append(f"{start},{good:d},{finish_s!r},{'' if good else LATE}")
        else:
            lines.append(f"{start},0,,{reasons[fate]}")
    if outcomes.first_token_s is not None:
        lines = [f"{line},{end}" for line, end in zip(lines, _token_ends(outcomes), strict=True)]
    lines.append("")
    return "\n".join(lines)


def parse_outcomes(text: str, *, name: str, placement: Placement) -> Outcomes:
    """The file that `format_outcomes` wrote. Raises InvalidInput with the line."""
    reader = csv.reader(text.rstrip("\n").split("\n"))
    header = tuple(_next_row(reader, name) or ())
    if header not in (COLUMNS, COLUMNS + TOKEN_COLUMNS):
        hint = "write it with `statmux simulate --outcomes`"
        raise InvalidInput(f"the columns are not {','.join(COLUMNS)}", where=f"{name}:1", hint=hint)
    group_index = {group.id: index for index, group in enumerate(placement.groups)} | {"": NO_GROUP}
    model_index: dict[str, int] = {}
    rows: list[tuple[int, float, int, bool, float, int]] = []
    token_rows: list[tuple[float, ...]] = []
    while (row := _next_row(reader, name)) is not None:
        try:
            rows.append(_row(row[: len(COLUMNS)], model_index, group_index))
            _check_times(rows)
            token_rows.append(_token_row(row[len(COLUMNS) :], header[len(COLUMNS) :]))
        except (ValueError, KeyError) as error:
            where = f"{name}:{reader.line_num}"
            hint = "is this the outcome file of this plan?"
            raise InvalidInput(
                f"{','.join(row)!r} is not an outcome ({error})", where=where, hint=hint
            ) from None
    models, arrivals, groups, goods, finishes, fates = _columns(rows)
    trace = Trace(np.array(arrivals, dtype=float), np.array(models, dtype=np.int32), tuple(model_index))
    first_token_s = None
    if header != COLUMNS:
        inputs, outputs, firsts = np.array(token_rows, dtype=float).reshape(-1, len(TOKEN_COLUMNS)).T
        trace = replace(trace, tokens=Tokens(inputs.astype(np.int32), outputs.astype(np.int32)))
        first_token_s = np.array(firsts)
    return Outcomes(
        trace,
        np.array(groups, dtype=np.int32),
        np.array(finishes, dtype=float),
        np.array(fates, dtype=np.int8),
        np.array(goods, dtype=bool),
        first_token_s,
    )


class Reader(Protocol):
    """Of `csv`, whose own type has no public name."""

    @property
    def line_num(self) -> int: ...
    def __iter__(self) -> Iterator[list[str]]: ...
    def __next__(self) -> list[str]: ...


def _columns(rows: list[tuple[int, float, int, bool, float, int]]) -> tuple[tuple[Any, ...], ...]:
    return tuple(zip(*rows, strict=True)) if rows else ((),) * 6


def _next_row(reader: Reader, name: str) -> list[str] | None:
    """None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        where = f"{name}:{reader.line_num}"
        raise InvalidInput(f"not CSV: {error}", where=where, hint="is this an outcome file?") from None


def _check_times(rows: list[tuple[int, float, int, bool, float, int]]) -> None:
    """Of the last row. Raises ValueError."""
    arrival_s, finish_s = rows[-1][1], rows[-1][4]
    if not math.isfinite(arrival_s) or not math.isfinite(finish_s):
        raise ValueError("its times are not finite")
    if len(rows) > 1 and arrival_s < rows[-2][1]:
        raise ValueError("it arrives before the one above it")


def _row(
    row: list[str], model_index: dict[str, int], group_index: dict[str, int]
) -> tuple[int, float, int, bool, float, int]:
    _, model, arrival_s, group, good, finish_s, reason = row
    fate = Fate.SERVED if reason in ("", LATE) else Fate(reason)
    return (
        model_index.setdefault(model, len(model_index)),
        float(arrival_s),
        group_index[group],
        good == "1",
        float(finish_s or 0.0),
        FATE_CODE[fate],
    )


def _token_ends(outcomes: Outcomes) -> Iterator[str]:
    """Of the header and of every row, what TOKEN_COLUMNS add."""
    tokens, first_token_s = outcomes.trace.tokens, outcomes.first_token_s
    assert tokens is not None and first_token_s is not None
    yield ",".join(TOKEN_COLUMNS)
    columns = (tokens.input_tokens.tolist(), tokens.output_tokens.tolist(), first_token_s.tolist())
    for num_input, num_output, first_s in zip(*columns, strict=True):
        yield f"{num_input},{num_output},{'' if math.isnan(first_s) else repr(first_s)}"


def _token_row(cells: list[str], names: tuple[str, ...]) -> tuple[float, ...]:
    if len(cells) != len(names):
        raise ValueError(f"{len(cells)} cells after {COLUMNS[-1]}, not {len(names)}")
    counts = tuple(map(int, cells[:-1]))
    if not all(0 <= count < 2**31 for count in counts):
        raise ValueError("a number of tokens is out of range")
    return *map(float, counts), *(float(cell or "nan") for cell in cells[-1:])


def _quoted(names: tuple[str, ...]) -> list[str]:
    return ['"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name for name in names]
