"""How tokens of an answer are chosen: what a client may ask for, in words that endpoints share."""

from __future__ import annotations

import msgspec


class Sampling(msgspec.Struct, frozen=True):
    """How the next token is drawn from a model's logits, in the order: penalties, temperature, filters.

    temperature: 0 is greedy. top_k: of the k most probable, 0 of all. top_p: of the fewest that make up so
    much probability. min_p: of those at least so probable, relative to the most probable.
    repetition_penalty: of tokens in the prompt or the answer; presence_penalty, frequency_penalty: of tokens
    in the answer. seed: equal seeds give equal answers, whatever runs beside. num_logprobs: None is none, 0
    of the chosen token, k also of the k most probable. stop_token_ids end an answer, besides the model's
    own unless ignores_eos.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = 0
    num_logprobs: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    ignores_eos: bool = False

    @property
    def is_greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0.0

    @property
    def has_penalties(self) -> bool:
        """Whether what was said before matters."""
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


GREEDY = Sampling(temperature=0.0)
# Why an answer ended: a token or words that stop it, or its largest length.
STOP, LENGTH = "stop", "length"
# More than this many alternatives to a token are not asked of any engine.
MAX_LOGPROBS = 20


class SampledToken(msgspec.Struct, frozen=True, array_like=True):
    """One token of one of a request's answers. logprob and best (token, logprob) only where asked for."""

    request_id: int
    sample: int
    token: int
    logprob: float | None = None
    best: tuple[tuple[int, float], ...] = ()
