"""From logits to tokens, on the device: penalties, then temperature, then top-k, top-p, min-p, then the draw.

A token is drawn as the argmax of its logit plus Gumbel noise that is a function of the draw alone, so that
an answer with a seed is the same whatever runs beside it. Suffixes: R draws, V vocabulary, W distinct tokens
of a history, K best tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from vocabulary.sampling import MAX_LOGPROBS
from workers.generation import sampler_batch as columns
from workers.generation.host_step import Draw, Drawn
from workers.generation.sampler_batch import Asked, pack
from workers.generation.sampler_filters import first_argmax, kept, penalised
from workers.generation.sampler_noise import Words, gumbel, random_bits_RV


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class DrawnOnDevice:
    """What a call of `Sampler.draw` computes, perhaps still under way. num_best: None without logprobs."""

    tokens_R: jax.Array
    logprobs_R: jax.Array | None = None
    best_tokens_RK: jax.Array | None = None
    best_logprobs_RK: jax.Array | None = None
    num_best: int | None = field(default=None, metadata={"static": True})


@final
class Sampler:
    """Of one model on one device or mesh. sharding: of the logits, over the vocabulary perhaps.

    max_model_len: the most tokens that a prompt and its answer have together.
    """

    def __init__(self, *, vocab_size: int, max_model_len: int, sharding: NamedSharding | None = None) -> None:
        self._vocab_size = vocab_size
        self._history_width = min(vocab_size, max_model_len)
        self._sharding = sharding
        self._whole = None if sharding is None else NamedSharding(sharding.mesh, PartitionSpec())
        self._compiled: dict[tuple[_Program, int], jax.stages.Compiled] = {}

    @property
    def num_compiles(self) -> int:
        """Programs compiled so far."""
        return len(self._compiled)

    def compile(self, rows_buckets: Collection[int]) -> None:
        """All that `draw` will need for logits of so many rows. Blocks."""
        for rows in rows_buckets:
            for program in _PROGRAMS:
                self._program(program, rows)

    def draw(self, logits_RV: jax.Array, draws: Sequence[Draw]) -> DrawnOnDevice:
        """Begin to draw: draw i from row i; further rows are padding. logits_RV: float32."""
        rows, asked = len(logits_RV), Asked.by(draws)
        assert len(draws) <= rows, (len(draws), rows)
        assert (asked.num_best or 0) <= MAX_LOGPROBS, asked
        logits_RV, tokens_R = self._tokens(logits_RV, draws, asked)
        if asked.num_best is None:
            return DrawnOnDevice(tokens_R)
        return DrawnOnDevice(
            tokens_R, *self._program(_score, rows)(logits_RV, tokens_R), num_best=asked.num_best
        )

    def drawn(self, result: DrawnOnDevice, num_draws: int) -> Drawn:
        """The draws as the host knows them. Blocks."""
        tokens = np.asarray(result.tokens_R)[:num_draws]
        if result.num_best is None:
            return Drawn(tokens)
        logprobs = np.asarray(result.logprobs_R)[:num_draws]
        if result.num_best == 0:
            return Drawn(tokens, logprobs)
        return Drawn(
            tokens,
            logprobs,
            best_tokens=np.asarray(result.best_tokens_RK)[:num_draws, : result.num_best],
            best_logprobs=np.asarray(result.best_logprobs_RK)[:num_draws, : result.num_best],
        )

    def _tokens(
        self, logits_RV: jax.Array, draws: Sequence[Draw], asked: Asked
    ) -> tuple[jax.Array, jax.Array]:
        """Logits after penalties, and what is drawn from them."""
        rows = len(logits_RV)
        if not (asked.penalties or asked.randomness):
            return logits_RV, self._program(_choose, rows)(logits_RV)
        width = self._history_width if asked.penalties else 0
        batch = pack(draws, rows=rows, vocab_size=self._vocab_size, history_width=width)
        if asked.penalties:
            penalise = self._program(_penalise, rows)
            logits_RV = penalise(logits_RV, batch.floats_R6, batch.ids_RW, batch.counts_RW)
        if not asked.randomness:
            return logits_RV, self._program(_choose, rows)(logits_RV)
        return logits_RV, self._program(_draw, rows)(logits_RV, batch.floats_R6, batch.words_R5)

    def _program(self, program: _Program, rows: int) -> jax.stages.Compiled:
        key = program, rows
        if key not in self._compiled:
            self._compiled[key] = self._compile(program, rows)
        return self._compiled[key]

    def _compile(self, program: _Program, rows: int) -> jax.stages.Compiled:
        def gathered(logits_RV: jax.Array, *batch: jax.Array) -> Any:
            # Every device draws: that takes one gathering of the logits and no further talk.
            if self._whole is not None:
                logits_RV = lax.with_sharding_constraint(logits_RV, self._whole)
            return program(logits_RV, *batch)

        jitted = jax.jit(gathered, out_shardings=self._sharding if program is _penalise else self._whole)
        return jitted.lower(*self._structs(program, rows)).compile()

    def _structs(self, program: _Program, rows: int) -> tuple[jax.ShapeDtypeStruct, ...]:
        def struct(dtype: str, *columns: int) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((rows, *columns), dtype, sharding=self._whole)

        logits = jax.ShapeDtypeStruct((rows, self._vocab_size), "float32", sharding=self._sharding)
        history = struct("int32", self._history_width)
        others = {
            _choose: (),
            _draw: (struct("float32", 6), struct("uint32", 5)),
            _penalise: (struct("float32", 6), history, history),
            _score: (struct("int32"),),
        }
        return logits, *others[program]


_Program = Callable[..., Any]


def _choose(logits_RV: jax.Array) -> jax.Array:
    """Greedy tokens."""
    return first_argmax(logits_RV)


def _draw(logits_RV: jax.Array, floats_R6: jax.Array, words_R5: jax.Array) -> jax.Array:
    """Tokens by temperature, filters and noise; those of temperature 0 greedy."""
    temperature_R = floats_R6[:, columns.TEMPERATURE]
    is_greedy_R = temperature_R == 0
    scale_R = jnp.where(is_greedy_R, 1, temperature_R)
    gaps_RV = (logits_RV.max(-1, keepdims=True) - logits_RV) / scale_R[:, None]
    kept_RV = kept(
        gaps_RV,
        top_k_R=jnp.where(is_greedy_R, 0, words_R5[:, columns.TOP_K].astype(jnp.int32)),
        top_p_R=jnp.where(is_greedy_R, 1, floats_R6[:, columns.TOP_P]),
        min_p_R=floats_R6[:, columns.MIN_P],
    )
    draws_R = Words(*(words_R5[:, column] for column in columns.OF_THE_DRAW))
    bits_RV = random_bits_RV(draws_R, jnp.arange(logits_RV.shape[1], dtype=jnp.uint32))
    noise_RV = jnp.where(is_greedy_R[:, None], 0, gumbel(bits_RV, jnp))
    return first_argmax(jnp.where(kept_RV, noise_RV - gaps_RV, -jnp.inf))


def _penalise(
    logits_RV: jax.Array, floats_R6: jax.Array, ids_RW: jax.Array, counts_RW: jax.Array
) -> jax.Array:
    """Logits for the other programs."""
    return penalised(
        logits_RV,
        ids_RW,
        counts_RW,
        repetition_R=floats_R6[:, columns.REPETITION],
        presence_R=floats_R6[:, columns.PRESENCE],
        frequency_R=floats_R6[:, columns.FREQUENCY],
    )


def _score(logits_RV: jax.Array, tokens_R: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logprobs of the tokens; the best tokens and their logprobs, descending."""
    logprobs_RV = jax.nn.log_softmax(logits_RV)
    best_logprobs_RK, best_tokens_RK = lax.top_k(logprobs_RV, min(MAX_LOGPROBS, logits_RV.shape[1]))
    logprobs_R = jnp.take_along_axis(logprobs_RV, tokens_R[:, None], axis=1)[:, 0]
    return logprobs_R, best_tokens_RK, best_logprobs_RK


_PROGRAMS: tuple[_Program, ...] = (_choose, _draw, _penalise, _score)
