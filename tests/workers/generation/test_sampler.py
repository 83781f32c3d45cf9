"""Tokens and logprobs against numpy, whatever stands beside a draw; chances by chi-square."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import stats

from tests.workers.generation import sampler_oracle as oracle
from tests.workers.generation.sampler_oracle import draw
from workers.generation.host_step import Draw, Drawn
from workers.generation.sampler import Sampler
from workers.generation.sampler_noise import Words, gumbel, random_bits_RV

VOCAB, ROWS, MAX_LEN = 60, 16, 40


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    made = Sampler(vocab_size=VOCAB, max_model_len=MAX_LEN)
    made.compile((ROWS,))
    return made


def logits(*, seed: int = 0, rows: int = ROWS) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(rows, VOCAB)) * 3).astype(np.float32)


def drawn(sampler: Sampler, logits_RV: np.ndarray, draws: list[Draw]) -> Drawn:
    return sampler.drawn(sampler.draw(jnp.asarray(logits_RV), draws), len(draws))


KINDS = (
    {"temperature": 0.0},
    {"temperature": 0.7, "seed": 11},
    {"top_k": 5, "seed": 12},
    {"top_p": 0.8, "seed": 13},
    {"min_p": 0.1, "seed": -14},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "seed": 2**63 + 15},
    {"repetition_penalty": 1.7, "seed": 16},
    {"presence_penalty": 1.5, "frequency_penalty": 0.7, "seed": 17},
    {"temperature": 0.0, "repetition_penalty": 1.3, "frequency_penalty": -0.4},
)


def mixed_draws(*, index: int = 0) -> list[Draw]:
    rng = np.random.default_rng(index)
    draws = []
    for number, kind in enumerate(KINDS):
        prompt, answer = rng.integers(0, VOCAB, 9).tolist(), rng.integers(0, VOCAB, 12).tolist()
        draws.append(draw(sample=number % 3, index=index, prompt=prompt, answer=answer, **kind))
    return draws


@pytest.mark.parametrize("index", range(20))
def test_every_kind_of_draw_gives_the_token_that_numpy_gives(sampler: Sampler, index: int) -> None:
    rows, draws = logits(seed=index), mixed_draws(index=index)
    expected = [oracle.token(row, one) for row, one in zip(rows, draws, strict=False)]
    assert drawn(sampler, rows, draws).tokens.tolist() == expected


def test_a_seed_gives_the_same_token_in_any_row_beside_any_others(sampler: Sampler) -> None:
    rows, draws = logits(), mixed_draws(index=7)
    together = drawn(sampler, rows, draws).tokens
    for place, one in enumerate(draws):
        alone = drawn(sampler, np.roll(rows, 3 - place, axis=0), [*mixed_draws(index=3)[:3], one]).tokens
        assert alone[3] == together[place], one


def test_samples_indices_and_seeds_are_drawn_apart(sampler: Sampler) -> None:
    row = np.zeros((ROWS, VOCAB), np.float32)
    for differing in ("sample", "index", "seed"):
        draws = [draw(**{differing: number}) for number in range(ROWS)]
        assert len(set(drawn(sampler, row, draws).tokens.tolist())) > ROWS / 3


def test_greedy_takes_the_lowest_of_equals_also_beside_draws(sampler: Sampler) -> None:
    rows = np.zeros((ROWS, VOCAB), np.float32)
    rows[:, [9, 30, 31]] = 4
    greedy = draw(temperature=0.0)
    assert drawn(sampler, rows, [greedy] * 3).tokens.tolist() == [9, 9, 9]
    assert drawn(sampler, rows, [greedy, draw(seed=1), greedy]).tokens[[0, 2]].tolist() == [9, 9]


def test_whatever_the_logits_a_token_is_of_the_vocabulary(sampler: Sampler) -> None:
    rows = np.full((ROWS, VOCAB), np.nan, np.float32)
    rows[1], rows[2], rows[2, 5] = -np.inf, -np.inf, 0
    tokens = drawn(sampler, rows, [draw(seed=number, top_p=0.9, top_k=4) for number in range(ROWS)]).tokens
    assert ((tokens >= 0) & (tokens < VOCAB)).all()
    assert tokens[2] == 5


def test_logprobs_are_of_what_penalties_leave_before_temperature_and_filters(sampler: Sampler) -> None:
    rows = logits(seed=3)
    draws = [
        draw(temperature=0.3, top_k=2, num_logprobs=4, seed=1),
        draw(temperature=0.0, num_logprobs=0),
        draw(prompt=[1, 2], answer=[2, 3, 3], repetition_penalty=1.5, frequency_penalty=0.5, num_logprobs=20),
    ]
    result = drawn(sampler, rows, draws)
    assert result.best_tokens.shape == result.best_logprobs.shape == (3, 20)
    for row, one, token, logprob, best, best_logprobs in zip(
        rows, draws, result.tokens, result.logprobs, result.best_tokens, result.best_logprobs, strict=False
    ):
        expected = oracle.logprobs(row, one)
        np.testing.assert_allclose(logprob, expected[token], atol=1e-5)
        assert best.tolist() == np.argsort(-expected)[:20].tolist()
        np.testing.assert_allclose(best_logprobs, expected[best], atol=1e-5)


def test_logprobs_come_only_where_asked_for(sampler: Sampler) -> None:
    rows = logits()
    assert drawn(sampler, rows, [draw(seed=1)] * 2).logprobs is None
    chosen_only = drawn(sampler, rows, [draw(temperature=0.0, num_logprobs=0), draw()])
    assert chosen_only.logprobs.shape == (2,)
    assert chosen_only.best_tokens is None
    assert drawn(sampler, rows, [draw(num_logprobs=3), draw()]).best_tokens.shape == (2, 3)


def test_a_history_may_be_of_every_token_there_is(sampler: Sampler) -> None:
    row, all_ids = logits(seed=5), list(range(MAX_LEN))
    one = draw(prompt=all_ids[:30], answer=all_ids[30:], presence_penalty=2.0, temperature=0.0)
    assert drawn(sampler, row, [one]).tokens[0] == oracle.token(row[0], one)


def test_all_is_compiled_ahead(sampler: Sampler) -> None:
    before = sampler.num_compiles
    drawn(sampler, logits(), mixed_draws())
    drawn(sampler, logits(), [draw(num_logprobs=1, top_k=3)])
    assert sampler.num_compiles == before == 4


def test_logits_split_over_the_vocabulary_give_the_same_tokens(sampler: Sampler) -> None:
    mesh = Mesh(np.array(jax.devices()[:4]), ("tensor",))
    split = NamedSharding(mesh, PartitionSpec(None, "tensor"))
    on_mesh = Sampler(vocab_size=VOCAB, max_model_len=MAX_LEN, sharding=split)
    rows, draws = logits(seed=8), [*mixed_draws(index=2), draw(num_logprobs=5, seed=3)]
    result = on_mesh.drawn(on_mesh.draw(jax.device_put(rows, split), draws), len(draws))
    alone = drawn(sampler, rows, draws)
    assert result.tokens.tolist() == alone.tokens.tolist()
    np.testing.assert_allclose(result.best_logprobs, alone.best_logprobs, atol=1e-6)


@pytest.mark.parametrize("differing", ["seed", "sample", "index"])
def test_tokens_come_as_often_as_probable(differing: str) -> None:
    """Chi-square of 100,000 draws; that it exceeds the 99.9 % point is decided, as seeds are fixed."""
    number, chances = 100_000, np.array([0.4, 0.25, 0.15, 0.1, 0.05, 0.03, 0.015, 0.005])
    words = {name: np.zeros(number, np.uint32) for name in ("high", "seed", "sample", "index")}
    words[differing] = np.arange(number, dtype=np.uint32)
    bits = jax.jit(random_bits_RV)(Words(*words.values()), jnp.arange(len(chances), dtype=jnp.uint32))
    tokens = np.argmax(np.log(chances) + np.asarray(gumbel(bits, jnp)), axis=1)
    counts = np.bincount(tokens, minlength=len(chances))
    statistic = ((counts - number * chances) ** 2 / (number * chances)).sum()
    assert statistic < stats.chi2.ppf(0.999, len(chances) - 1)
    # Neighbours draw independently: pairs of them, too, come as often as both are probable.
    pairs = np.bincount(tokens[:-1:2] * 8 + tokens[1::2], minlength=64)
    expected = number / 2 * np.outer(chances, chances).reshape(-1)
    is_common = expected > 5
    statistic = ((pairs - expected)[is_common] ** 2 / expected[is_common]).sum()
    assert statistic < stats.chi2.ppf(0.999, is_common.sum() - 1)


def test_the_hash_is_the_same_in_numpy_and_on_a_device() -> None:
    rng = np.random.default_rng(0)
    words = Words(*rng.integers(0, 1 << 32, (4, 5), dtype=np.uint32))
    tokens = np.arange(1000, dtype=np.uint32)
    on_device = np.asarray(jax.jit(random_bits_RV)(words, tokens))
    with np.errstate(over="ignore"):
        assert (on_device == random_bits_RV(words, tokens)).all()
    assert stats.kstest(on_device.reshape(-1) / 2**32, "uniform").pvalue > 0.001
