"""The parameters that chats and completions share, under OpenAI's names and, beyond them, vLLM's."""

from __future__ import annotations

import secrets
from typing import Annotated

import msgspec
from msgspec import Meta

from controller.calls import Reason
from controller.http.parameters import Unsupported
from controller.text.refused import Refused
from vocabulary.sampling import MAX_LOGPROBS, Sampling

MAX_SAMPLES = 128
_TINY = 1e-9  # a top_p of 0, which asks for the most probable token: the sampler wants some probability
_SEED_BITS = 63
Positive = Annotated[int, Meta(ge=1)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
NumLogprobs = Annotated[int, Meta(ge=0, le=MAX_LOGPROBS)]

# What neither endpoint does.
UNSUPPORTED: Unsupported = {
    "logit_bias": ({},),
    "metadata": ({},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "safety_identifier": (),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "min_tokens": (0,),
    "bad_words": ([],),
    "allowed_token_ids": (),
    "use_beam_search": (False,),
    "length_penalty": (1.0,),
    "prompt_logprobs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structured_outputs": (),
    "truncate_prompt_tokens": (),
}


class StreamOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """include_usage: a last chunk without choices says how many tokens there were."""

    include_usage: bool = False


class SamplingParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of any call that generates; None is the default of OpenAI."""

    model: str
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)] = 1
    max_tokens: Positive | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Probability = 1.0
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | list[str] = ()
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = ""
    top_k: Annotated[int, Meta(ge=-1)] = 0
    min_p: Probability = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] = 1.0
    ignore_eos: bool = False
    stop_token_ids: list[Annotated[int, Meta(ge=0)]] = ()
    include_stop_str_in_output: bool = False
    skip_special_tokens: bool = True
    return_token_ids: bool = False
    cache_salt: str = ""
    priority: Annotated[int, Meta(ge=0)] = 0

    @property
    def wants_usage(self) -> bool:
        """In a stream."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


def sampling_of(request: SamplingParameters, *, num_logprobs: int | None) -> Sampling:
    """Without a seed of the client's, one that nobody knows."""
    seed = secrets.randbits(_SEED_BITS) if request.seed is None else request.seed
    return Sampling(
        temperature=request.temperature,
        top_k=max(request.top_k, 0),
        top_p=max(request.top_p, _TINY),
        min_p=request.min_p,
        repetition_penalty=request.repetition_penalty,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=seed,
        num_logprobs=num_logprobs,
        stop_token_ids=tuple(request.stop_token_ids),
        ignores_eos=request.ignore_eos,
    )


def check_stream_options(request: SamplingParameters) -> None:
    """Raises Refused where there is no stream for them."""
    if request.stream_options is not None and not request.stream:
        raise Refused(Reason.INVALID_PARAMETER, "stream_options needs stream: true", param="stream_options")
