"""A step as the host knows it, before it is packed into arrays of a compiled shape. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from vocabulary.messages import NO_MOVES, PageMoves
from vocabulary.sampling import Sampling


class Draw(msgspec.Struct, frozen=True, gc=False):
    """One token to draw. sample, index: which answer of the request, and which of its tokens.

    The random numbers of a draw are a function of (sampling.seed, sample, index) and of nothing else.
    prompt_ids, answer_ids: int32, all tokens before, for penalties; empty where `sampling` has none.
    """

    sampling: Sampling
    sample: int
    index: int
    prompt_ids: np.ndarray
    answer_ids: np.ndarray


class HostRow(msgspec.Struct, frozen=True, gc=False):
    """What one sequence computes: int32 token_ids [tokens] at positions start, start + 1, ...

    pages: of its cache, in order, enough for all tokens so far. draws: after the last of the tokens.
    """

    token_ids: np.ndarray
    start: int
    pages: tuple[int, ...]
    draws: tuple[Draw, ...]


@dataclass(frozen=True, slots=True)
class HostStep:
    """All rows of a step, in the order of its batch. moves: pages that move before it, on every stage."""

    rows: tuple[HostRow, ...]
    moves: PageMoves = NO_MOVES


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a step drew, in the order of rows and of their draws.

    tokens: int32 [draws]; logprobs: float32 [draws], of those tokens, before temperature and filters, after
    penalties; best_tokens int32, best_logprobs float32 [draws, k]: the most probable, descending. logprobs
    and best are None where no draw of the step asked for any.
    """

    tokens: np.ndarray
    logprobs: np.ndarray | None = None
    best_tokens: np.ndarray | None = None
    best_logprobs: np.ndarray | None = None
