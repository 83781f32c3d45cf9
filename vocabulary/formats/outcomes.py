"""Outcome files: what became of every request, one CSV row each, in arrival order."""

from __future__ import annotations

import csv

import numpy as np

from vocabulary.errors import InvalidInput
from vocabulary.outcomes import FATE_CODE, FATES, NO_GROUP, Outcomes
from vocabulary.placement import Placement
from vocabulary.request import Fate
from vocabulary.trace import Trace

COLUMNS = ("request_id", "model", "arrival_s", "group", "good", "finish_s", "reason")
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
    lines.append("")
    return "\n".join(lines)


def parse_outcomes(text: str, *, name: str, placement: Placement) -> Outcomes:
    """The file that `format_outcomes` wrote. Raises InvalidInput with the line."""
    reader = csv.reader(text.rstrip("\n").split("\n"))
    if tuple(next(reader, ())) != COLUMNS:
        hint = "write it with `statmux simulate --outcomes`"
        raise InvalidInput(f"the columns are not {','.join(COLUMNS)}", where=f"{name}:1", hint=hint)
    group_index = {group.id: index for index, group in enumerate(placement.groups)} | {"": NO_GROUP}
    model_index: dict[str, int] = {}
    rows = []
    for row in reader:
        try:
            rows.append(_row(row, model_index, group_index))
        except (ValueError, KeyError) as error:
            where = f"{name}:{reader.line_num}"
            hint = "is this the outcome file of this plan?"
            raise InvalidInput(
                f"{','.join(row)!r} is not an outcome ({error})", where=where, hint=hint
            ) from None
    models, arrivals, groups, goods, finishes, fates = zip(*rows, strict=True) if rows else ((),) * 6
    trace = Trace(np.array(arrivals, dtype=float), np.array(models, dtype=np.int32), tuple(model_index))
    return Outcomes(
        trace,
        np.array(groups, dtype=np.int32),
        np.array(finishes, dtype=float),
        np.array(fates, dtype=np.int8),
        np.array(goods, dtype=bool),
    )


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


def _quoted(names: tuple[str, ...]) -> list[str]:
    return ['"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name for name in names]
