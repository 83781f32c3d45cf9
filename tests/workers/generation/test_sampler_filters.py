"""Filters and penalties against sorted numpy, and against transformers where torch is there."""

from __future__ import annotations

import jax
import msgspec
import numpy as np
import pytest
from jax import numpy as jnp

from tests.workers.generation import sampler_oracle as oracle
from tests.workers.generation.sampler_oracle import draw
from vocabulary.sampling import Sampling
from workers.generation.sampler_filters import kept, penalised

VOCAB = 300
_kept = jax.jit(kept)
_penalised = jax.jit(penalised)

SAMPLINGS = [
    Sampling(),
    *(Sampling(top_k=k) for k in (1, 2, 50, 299, 300, 1000)),
    *(Sampling(top_p=p) for p in (0.0, 0.01, 0.5, 0.9, 0.999)),
    *(Sampling(min_p=p) for p in (0.001, 0.1, 1.0)),
    Sampling(top_k=20, top_p=0.7),
    Sampling(temperature=0.5, top_k=100, top_p=0.95, min_p=0.02),
    Sampling(temperature=2.0, top_p=0.9, min_p=0.05),
]


def logits(seed: int, *, spread: float = 3.0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(len(SAMPLINGS), VOCAB)) * spread
    return rows.astype(np.float32)


# Sums of 300 float32 are known to that: a token may be kept that a so much smaller top_p would not keep.
ROUNDING = 1e-6


def is_kept_by(logits_V: np.ndarray, sampling: Sampling, tokens: set[int]) -> bool:
    """Whether sorting keeps these tokens, with top_p or a neighbour of it."""
    if sampling.top_p == 1:
        return tokens == oracle.kept(logits_V, sampling)
    less, more = (
        oracle.kept(logits_V, msgspec.structs.replace(sampling, top_p=sampling.top_p + by))
        for by in (-ROUNDING, ROUNDING)
    )
    return less <= tokens <= more


def kept_sets(logits_RV: np.ndarray, samplings: list[Sampling]) -> list[set[int]]:
    temperature = np.array([one.temperature for one in samplings], np.float32)
    gaps = (logits_RV.max(-1, keepdims=True) - logits_RV) / temperature[:, None]
    allowed = _kept(
        jnp.asarray(gaps),
        top_k_R=jnp.asarray([one.top_k for one in samplings], jnp.int32),
        top_p_R=jnp.asarray([one.top_p for one in samplings], jnp.float32),
        min_p_R=jnp.asarray([one.min_p for one in samplings], jnp.float32),
    )
    return [set(np.flatnonzero(row).tolist()) for row in np.asarray(allowed)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spread", [0.1, 3.0, 30.0])
def test_filters_keep_what_sorting_keeps(seed: int, spread: float) -> None:
    rows = logits(seed, spread=spread)
    for row, one, ours in zip(rows, SAMPLINGS, kept_sets(rows, SAMPLINGS), strict=True):
        assert is_kept_by(row, one, ours), one


def test_a_row_alone_keeps_what_it_keeps_beside_others() -> None:
    """A filter that no row needs is not computed: that must not be seen."""
    rows = logits(1)
    together = kept_sets(rows, SAMPLINGS)
    for number, one in enumerate(SAMPLINGS):
        (alone,) = kept_sets(rows[number : number + 1], [one])
        assert alone == together[number] or is_kept_by(rows[number], one, alone), one


def test_tokens_as_probable_as_the_last_kept_are_kept() -> None:
    row = np.zeros((1, VOCAB), np.float32)
    row[0, [4, 5, 6]] = 1
    row[0, 7] = 2
    assert kept_sets(row, [Sampling(top_k=2)]) == [{4, 5, 6, 7}]
    share = float(np.exp(2) / np.exp(row[0]).sum())
    assert kept_sets(row, [Sampling(top_p=share * 1.1)]) == [{4, 5, 6, 7}]
    assert kept_sets(row, [Sampling(top_p=share * 0.9)]) == [{7}]


def test_penalties_are_those_of_a_loop_over_the_history() -> None:
    rows, rng = logits(2), np.random.default_rng(0)
    draws = [
        draw(
            prompt=rng.integers(0, VOCAB, 30).tolist(),
            answer=rng.integers(0, 20, 25).tolist(),
            repetition_penalty=rng.uniform(0.5, 2),
            presence_penalty=rng.uniform(-2, 2),
            frequency_penalty=rng.uniform(-2, 2),
        )
        for _ in rows
    ]
    result = penalised_rows(rows, draws)
    for row, one, values in zip(rows, draws, result, strict=True):
        np.testing.assert_allclose(values, oracle.penalised(row, one), rtol=1e-5, atol=1e-5)


def penalised_rows(rows: np.ndarray, draws: list) -> np.ndarray:
    from workers.generation import sampler_batch as columns

    batch = columns.pack(draws, rows=len(rows), vocab_size=VOCAB, history_width=64)
    return np.asarray(
        _penalised(
            jnp.asarray(rows),
            batch.ids_RW,
            batch.counts_RW,
            repetition_R=batch.floats_R6[:, columns.REPETITION],
            presence_R=batch.floats_R6[:, columns.PRESENCE],
            frequency_R=batch.floats_R6[:, columns.FREQUENCY],
        )
    )


def test_filters_keep_what_transformers_keeps() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    process = pytest.importorskip("transformers.generation.logits_process", reason="no transformers")
    rows = logits(4)
    for row, one, ours in zip(rows, SAMPLINGS, kept_sets(rows, SAMPLINGS), strict=True):
        scores = torch.tensor(row[None]) / one.temperature
        if one.top_k:
            scores = process.TopKLogitsWarper(one.top_k)(None, scores)
        if one.top_p < 1:
            scores = process.TopPLogitsWarper(one.top_p)(None, scores)
        if one.min_p:
            scores = process.MinPLogitsWarper(one.min_p)(None, scores)
        theirs = set(torch.isfinite(scores[0]).nonzero()[:, 0].tolist())
        assert ours == theirs, one


def test_repetition_is_penalised_as_transformers_does() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    process = pytest.importorskip("transformers.generation.logits_process", reason="no transformers")
    rows = logits(6)[:2]
    draws = [draw(prompt=[3, 5, 5], answer=[9, 3], repetition_penalty=1.4)] * 2
    expected = process.RepetitionPenaltyLogitsProcessor(1.4)(
        torch.tensor([[3, 5, 5, 9, 3]] * 2), torch.tensor(rows)
    )
    np.testing.assert_allclose(penalised_rows(rows, draws), expected.numpy(), rtol=1e-6)
