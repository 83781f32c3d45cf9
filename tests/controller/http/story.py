"""The fleet that the HTTP endpoint's tests serve, and how they serve it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import numpy as np

from controller.calls import InferCall, InferReply, ModelState, ModelView, Reason, Refusal
from controller.fleet import Fleet
from controller.http import start_http
from controller.tenants import ONE_TENANT, Tenants
from controller.text import ModelText
from controller.text.chat_template import ChatTemplate
from controller.text.codec import TextCodec
from controller.token_streams import Ended, GenerateCall, News
from tests.controller.scripted_fleet import Script, ScriptedFleet, generating_view, refusing
from tests.controller.text.tokenizers_for_tests import BOS, EOS, bytes_only
from vocabulary.numpy_tensors import array_of, tensor_of
from vocabulary.sampling import LENGTH, STOP, SampledToken
from vocabulary.tensors import TensorSpec

CODEC = TextCodec(bytes_only())
EOS_ID, BOS_ID, VOCAB_SIZE, MAX_MODEL_LEN = 256, 257, 258, 512
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'robot' %}"
    "{{ raise_exception('robots may not speak') }}{% endif %}"
    "[{{ message.role }}] {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
TEXT = ModelText(CODEC, ChatTemplate(TEMPLATE, tokens={"bos_token": BOS, "eos_token": EOS}, where="test"))
REFUSALS = {
    "busy": Refusal(Reason.QUEUE_FULL, "64 requests wait, as many as may", retry_after_s=0.02),
    "late": Refusal(Reason.SLO_INFEASIBLE, "would finish after 0.120 s, the SLO is 0.100 s"),
    "down": Refusal(Reason.UNAVAILABLE, "no group that holds model 'down' is open", retry_after_s=0.01),
    "broken": Refusal(Reason.FAILED, "the group that ran the request failed"),
}
EMBEDDING = ModelView(
    "embedder",
    inputs=(TensorSpec("text_input", "BYTES", (-1,)),),
    outputs=(TensorSpec("embedding", "FP32", (-1, 4)),),
)


def writing(text: str, *, reason: str = STOP, with_eos: bool = True) -> Script:
    """Every sample says `text`, a byte a step, then the end token; or as much of it as it may."""
    return lambda call: _written(call, text, reason=reason, with_eos=with_eos)


def echoing(call: GenerateCall) -> Iterable[News]:
    """Says its prompt backwards, up to the length that is asked for."""
    text = CODEC.decode(call.prompt_ids)[::-1]
    return _written(call, text, reason=STOP, with_eos=True)


def breaking(text: str, refusal: Refusal) -> Script:
    """Says `text`, and then no more."""

    def script(call: GenerateCall) -> Iterable[News]:
        yield from list(_written(call, text, reason=LENGTH, with_eos=False))[:-1]
        yield refusal

    return script


def _written(call: GenerateCall, text: str, *, reason: str, with_eos: bool) -> Iterable[News]:
    token_ids = [*CODEC.encode(text, adds_special=False), *([EOS_ID] if with_eos else [])]
    said = token_ids[: call.max_tokens]
    for token in said:
        yield tuple(_sampled(call, sample, token) for sample in range(call.num_samples))
    ended = reason if len(said) == len(token_ids) else LENGTH
    yield Ended((ended,) * call.num_samples, "g0", num_cached=2)


def _sampled(call: GenerateCall, sample: int, token: int) -> SampledToken:
    """Its probability falls with its id; the next most probable are the ids after it."""
    num_best = call.sampling.num_logprobs
    if num_best is None:
        return SampledToken(0, sample, token)
    best = tuple(((token + index) % VOCAB_SIZE, -0.5 - index) for index in range(num_best))
    return SampledToken(0, sample, token, -0.5, best)


def story_fleet() -> ScriptedFleet:
    """chat says hello, mirror its prompt backwards, broken-off stops in the middle; stuck stays open.

    tokens has no tokenizer, plain no chat template; embedder gives vectors; those of REFUSALS refuse.
    """
    names = ("chat", "mirror", "broken-off", "stuck", "tokens", "plain", *REFUSALS)
    views = [
        generating_view(name, vocab_size=VOCAB_SIZE, max_model_len=MAX_MODEL_LEN, eos_ids=(EOS_ID,))
        for name in names
    ]
    scripts: dict[str, Script] = {
        "chat": writing("Hello, wörld! 😀"),
        "plain": writing("Hello, wörld! 😀"),
        "tokens": writing("abc"),
        "mirror": echoing,
        "broken-off": breaking("Hel", REFUSALS["broken"]),
        **{name: refusing(refusal) for name, refusal in REFUSALS.items()},
    }
    absent = ModelView("absent", (), (), state=ModelState.LOADING, state_reason="its groups are not open")
    return ScriptedFleet([*views, EMBEDDING, absent], scripts=scripts, replies=_embedded)


def story_texts() -> dict[str, ModelText]:
    """Of every model of the story."""
    whole = dict.fromkeys(("chat", "mirror", "broken-off", "stuck", *REFUSALS), TEXT)
    return {**whole, "tokens": ModelText(), "plain": ModelText(CODEC), "embedder": ModelText(CODEC)}


def _embedded(call: InferCall) -> InferReply:
    """Of each text: its bytes, its first byte, its last, and 1."""
    texts = array_of(call.tensors[0]).tolist()
    vectors = np.array([[len(text), text[0], text[-1], 1.0] for text in texts], np.float32)
    return InferReply((tensor_of("embedding", vectors),), group="g0")


@asynccontextmanager
async def serving(
    fleet: Fleet, *, tenants: Tenants = ONE_TENANT, **options: Callable[..., object] | int
) -> AsyncIterator[str]:
    """The address of an endpoint of `fleet`."""
    running = await start_http(fleet, story_texts(), port=0, tenants=tenants, **options)
    try:
        yield f"http://127.0.0.1:{running.port}"
    finally:
        await running.stop(0.0)
