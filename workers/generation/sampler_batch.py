"""Draws of a step as arrays of a fixed shape, numpy. Suffixes: R draws, W distinct tokens of a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vocabulary.sampling import Sampling
from workers.generation.host_step import Draw


@dataclass(frozen=True, slots=True)
class Asked:
    """What the draws of a step need beyond an argmax. num_best: None without logprobs."""

    penalties: bool
    randomness: bool
    num_best: int | None

    @classmethod
    def by(cls, draws: Sequence[Draw]) -> Asked:
        samplings = [draw.sampling for draw in draws]
        logprobs = [one.num_logprobs for one in samplings if one.num_logprobs is not None]
        return cls(
            penalties=any(one.has_penalties for one in samplings),
            randomness=not all(one.is_greedy for one in samplings),
            num_best=max(logprobs, default=None),
        )


# Columns of SamplerBatch.
TEMPERATURE, TOP_P, MIN_P, REPETITION, PRESENCE, FREQUENCY = range(6)
TOP_K, *OF_THE_DRAW = range(5)  # then seed (high, low word), sample, index
_WORD = 0xFFFFFFFF
_PADDING_FLOATS = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class SamplerBatch:
    """floats_R6 and words_R5 with the columns above; ids and counts as `penalised` wants them.

    Rows after the draws are greedy. Without penalties histories have no columns.
    """

    floats_R6: np.ndarray
    words_R5: np.ndarray
    ids_RW: np.ndarray
    counts_RW: np.ndarray


def pack(draws: Sequence[Draw], *, rows: int, vocab_size: int, history_width: int) -> SamplerBatch:
    """history_width: W, 0 without penalties; at least the distinct tokens of any draw that has some."""
    padding = rows - len(draws)
    floats = [_floats(draw.sampling) for draw in draws] + [_PADDING_FLOATS] * padding
    words = [_words(draw) for draw in draws] + [(0,) * 5] * padding
    ids_RW = np.full((rows, history_width), vocab_size, np.int32)
    counts_RW = np.zeros((rows, history_width), np.int32)
    if history_width:
        for row, draw in enumerate(draws):
            if draw.sampling.has_penalties:
                _fill(ids_RW[row], counts_RW[row], draw)
    return SamplerBatch(np.array(floats, np.float32), np.array(words, np.uint32), ids_RW, counts_RW)


def _floats(sampling: Sampling) -> tuple[float, ...]:
    return (
        sampling.temperature,
        sampling.top_p,
        sampling.min_p,
        sampling.repetition_penalty,
        sampling.presence_penalty,
        sampling.frequency_penalty,
    )


def _words(draw: Draw) -> tuple[int, ...]:
    seed = draw.sampling.seed
    return max(draw.sampling.top_k, 0), seed >> 32 & _WORD, seed & _WORD, draw.sample, draw.index


def _fill(ids_W: np.ndarray, counts_W: np.ndarray, draw: Draw) -> None:
    both = np.concatenate([draw.answer_ids, draw.prompt_ids])
    ids, places = np.unique(both, return_inverse=True)
    ids_W[: len(ids)] = ids
    counts_W[: len(ids)] = np.bincount(places[: len(draw.answer_ids)], minlength=len(ids))
