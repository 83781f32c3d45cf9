"""What a step of an engine costs, fitted to measured steps: constant + tokens + cached tokens.

Non-negative least squares of errors divided by the root of the step's time, re-weighted (Huber): a step that
is off by more than 3 robust standard deviations (1.4826 x the median absolute error so divided) counts only
in proportion, so that a pause of the machine does not bend the fit. Relative errors would let many short
steps outvote the long ones, in which most of the time goes by; absolute ones the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from vocabulary.errors import InvalidInput
from vocabulary.generation import StepTimes

# Fewer than this many steps on either side of the split say nothing.
MIN_ROWS = 8
# Huber's constant. Steps are padded to compiled shapes, so they are off the line by more than chance: with
# the usual 1.345 all steps of one shape may count for little.
_HUBER = 3.0
_NUM_ROUNDS = 30
_NAMES = ("constant", "computed tokens", "cached tokens")


@dataclass(frozen=True, slots=True)
class StepTimesFit:
    """The fit, and how well it tells the steps that it was not shown.

    r2: share of their variance in seconds that is explained (negative: worse than their mean);
    mape: their mean absolute error as a share of the measured time. Both count outliers in full.
    """

    times: StepTimes
    r2: float
    mape: float
    num_rows: int
    num_held_out: int


def fit_step_times(
    num_tokens: ArrayLike,
    num_kv_tokens: ArrayLike,
    step_s: ArrayLike,
    *,
    held_out_share: float = 0.25,
    seed: int = 0,
) -> StepTimesFit:
    """Fit to rows of (tokens computed, tokens in the cache at the start, seconds); drawn rows are held out.

    Raises InvalidInput for rows that are no measurements, for fewer than 2 x MIN_ROWS, and for rows that
    cannot tell the three terms apart.
    """
    rows, step_s = _checked(num_tokens, num_kv_tokens, step_s)
    order = np.random.default_rng(seed).permutation(len(rows))
    num_held_out = max(round(held_out_share * len(rows)), MIN_ROWS)
    held_out, shown = order[:num_held_out], order[num_held_out:]
    _check_terms(rows[shown])
    coefficients = _fit(rows[shown], step_s[shown])
    told_s, seen_s = rows[held_out] @ coefficients, step_s[held_out]
    variance = float(np.square(seen_s - seen_s.mean()).sum())
    error = float(np.square(seen_s - told_s).sum())
    return StepTimesFit(
        StepTimes(*coefficients.tolist()),
        r2=1.0 - error / variance if variance > 0 else float(error == 0.0),
        mape=float(np.mean(np.abs(seen_s - told_s) / seen_s)),
        num_rows=len(rows),
        num_held_out=num_held_out,
    )


def _fit(rows: NDArray[np.float64], step_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the three terms, none negative."""
    # Columns of like size: tokens in the cache are thousands of times the constant's ones.
    sizes = rows.max(axis=0)
    scaled = rows / sizes
    root = np.sqrt(step_s)
    coefficients = nnls(scaled / root[:, None], root)[0]
    for _ in range(_NUM_ROUNDS):
        told_s = np.maximum(scaled @ coefficients, 1e-3 * step_s)
        root = np.sqrt(told_s)
        errors = np.abs(step_s - told_s) / root
        limit = _HUBER * 1.4826 * float(np.median(errors))
        weights = np.sqrt(np.minimum(1.0, limit / np.maximum(errors, 1e-300))) if limit > 0 else 1.0
        weights = weights / root
        earlier = coefficients
        coefficients = nnls(scaled * weights[:, None], step_s * weights)[0]
        if np.allclose(coefficients, earlier, rtol=1e-9, atol=0.0):
            break
    return coefficients / sizes


def _checked(
    num_tokens: ArrayLike, num_kv_tokens: ArrayLike, step_s: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    tokens, kv_tokens, seconds = (np.asarray(one, np.float64) for one in (num_tokens, num_kv_tokens, step_s))
    if not tokens.shape == kv_tokens.shape == seconds.shape or tokens.ndim != 1:
        raise InvalidInput(f"columns of {tokens.size}, {kv_tokens.size} and {seconds.size} rows")
    rows = np.stack([np.ones_like(tokens), tokens, kv_tokens], axis=1)
    is_wrong = (
        ~np.isfinite(rows).all(axis=1) | (rows < 0).any(axis=1) | ~(np.isfinite(seconds) & (seconds > 0))
    )
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise InvalidInput(
            f"{tokens[row]:g} tokens, {kv_tokens[row]:g} in the cache, {seconds[row]:g} s: no measured step",
            where=f"row {row + 1}",
            hint="counts must not be negative, and a step takes time",
        )
    if len(rows) < 2 * MIN_ROWS:
        raise InvalidInput(f"{len(rows)} measured steps", hint=f"measure at least {2 * MIN_ROWS}")
    return rows, seconds


def _check_terms(rows: NDArray[np.float64]) -> None:
    """Each term must vary on its own."""
    sizes = rows.max(axis=0)
    is_known = sizes > 0
    if is_known.all() and np.linalg.matrix_rank(rows / sizes, tol=1e-6 * np.sqrt(len(rows))) == len(_NAMES):
        return
    unseen = [name for name, known in zip(_NAMES, is_known, strict=True) if not known]
    told = f"the steps have no {' and no '.join(unseen)}" if unseen else "the steps are too much alike"
    raise InvalidInput(
        f"{told}: {', '.join(_NAMES)} cannot be told apart",
        hint="measure steps of several sizes, each with several numbers of tokens in the cache",
    )
