"""What the parts of a step drew, put together in the step's order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.generation.host_step import Drawn


def join_drawn(numbers: Sequence[tuple[int, ...]], results: Sequence[Drawn]) -> Drawn:
    """numbers: which of the step's draws those of each part are, all of them once.

    Where only some parts tell logprobs, the others' are NaN.
    """
    if not results:
        return Drawn(np.empty(0, np.int32))
    order = np.argsort(np.concatenate([np.array(one, np.int64) for one in numbers]))
    return Drawn(
        tokens=np.concatenate([one.tokens for one in results])[order],
        logprobs=_stacked([one.logprobs for one in results], results, order),
        best_tokens=_stacked([one.best_tokens for one in results], results, order),
        best_logprobs=_stacked([one.best_logprobs for one in results], results, order),
    )


def _stacked(
    columns: Sequence[np.ndarray | None], results: Sequence[Drawn], order: np.ndarray
) -> np.ndarray | None:
    known = [one for one in columns if one is not None]
    if not known:
        return None
    width = max((one.shape[1:] for one in known), default=())
    blank = np.nan if known[0].dtype.kind == "f" else 0
    stacked = [np.full((len(result.tokens), *width), blank, known[0].dtype) for result in results]
    for target, column in zip(stacked, columns, strict=True):
        if column is not None:
            target[tuple(map(slice, column.shape))] = column
    return np.concatenate(stacked)[order]
