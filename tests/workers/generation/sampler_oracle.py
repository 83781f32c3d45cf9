"""Sampling as users read it: one row at a time, sorted, in float64 numpy."""

from __future__ import annotations

import numpy as np

from vocabulary.sampling import Sampling
from workers.generation.host_step import Draw
from workers.generation.sampler_noise import Words, gumbel, random_bits_RV

_NONE = np.empty(0, np.int32)
_WORD = 0xFFFFFFFF


def draw(
    *,
    sample: int = 0,
    index: int = 0,
    prompt: list[int] | None = None,
    answer: list[int] | None = None,
    **asked,
) -> Draw:
    """asked: of a Sampling."""
    ids = [_NONE if one is None else np.array(one, np.int32) for one in (prompt, answer)]
    return Draw(Sampling(**asked), sample, index, *ids)


def penalised(logits_V: np.ndarray, one: Draw) -> np.ndarray:
    result = logits_V.astype(np.float64)
    sampling = one.sampling
    for token in {*one.prompt_ids.tolist(), *one.answer_ids.tolist()}:
        at = result[token]
        result[token] = at / sampling.repetition_penalty if at > 0 else at * sampling.repetition_penalty
        count = one.answer_ids.tolist().count(token)
        result[token] -= sampling.frequency_penalty * count + sampling.presence_penalty * (count > 0)
    return result


def kept(logits_V: np.ndarray, sampling: Sampling) -> set[int]:
    """Tokens that may be drawn, of penalised logits; those as probable as the last kept too."""
    scaled = logits_V.astype(np.float64) / sampling.temperature
    order = np.argsort(-scaled, kind="stable")
    ranked = scaled[order]
    allowed = np.ones(len(ranked), bool)
    if sampling.top_k > 0:
        allowed &= ranked >= ranked[min(sampling.top_k, len(ranked)) - 1]
    mass = np.where(allowed, np.exp(ranked - ranked[0]), 0)
    if sampling.top_p < 1:
        before = np.cumsum(mass) - mass
        last = np.flatnonzero(before < sampling.top_p * mass.sum()).max(initial=0)
        allowed &= ranked >= ranked[last]
    allowed &= np.exp(ranked - ranked[0]) >= sampling.min_p
    return set(order[allowed].tolist())


def noise(one: Draw, vocab_size: int) -> np.ndarray:
    """Gumbel noise of a draw [vocabulary], by the hash in numpy."""
    seed = one.sampling.seed
    words = (seed >> 32 & _WORD, seed & _WORD, one.sample, one.index)
    with np.errstate(over="ignore"):
        draws = Words(*(np.array([word], np.uint32) for word in words))
        return gumbel(random_bits_RV(draws, np.arange(vocab_size, dtype=np.uint32)), np)[0]


def token(logits_V: np.ndarray, one: Draw) -> int:
    """What is to be drawn."""
    final = penalised(logits_V, one)
    if one.sampling.is_greedy:
        return int(np.argmax(final))
    scores = final / one.sampling.temperature + noise(one, len(final))
    allowed = kept(final, one.sampling)
    return max(allowed, key=lambda token: scores[token])


def logprobs(logits_V: np.ndarray, one: Draw) -> np.ndarray:
    final = penalised(logits_V, one)
    return final - final.max() - np.log(np.exp(final - final.max()).sum())
