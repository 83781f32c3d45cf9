"""A call for text as endpoints make it, and the `GenerateCall` that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from controller.calls import GenerationView, Reason
from controller.text.codec import TextCodec
from controller.text.refused import Refused
from controller.token_streams import GenerateCall
from vocabulary.limits import Limits
from vocabulary.sampling import Sampling

MAX_STOP_STRINGS = 16
# Every piece of text is compared with all beginnings of all of them.
MAX_STOP_CHARS = 1024
MAX_STOP_TOKENS = 1024


class TextCall(msgspec.Struct, frozen=True):
    """What a client wants said.

    model: a name or alias. prompt: text, or token ids as they are. max_tokens: None is all that the context
    leaves. stop: strings that end an answer; includes_stop: they are its last words. adds_special: the
    tokenizer puts its special tokens round a text (a chat template has done so itself). skips_special:
    special tokens in the answer have no text. wants_text: False gives tokens only, each as it is drawn; such
    a call has no stop strings. The rest is as of `GenerateCall`.
    """

    request_id: str
    model: str
    prompt: str | tuple[int, ...]
    max_tokens: int | None = None
    num_samples: int = 1
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    includes_stop: bool = False
    adds_special: bool = True
    skips_special: bool = True
    goes_on: bool = False
    wants_text: bool = True
    timeout_s: float | None = None
    slo_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None
    tenant: str = ""
    salt: str = ""
    priority: int = 0
    protocol: str = "openai"


def check_stop(call: TextCall, codec: TextCodec | None) -> None:
    """Raises Refused for stop strings that cannot be looked for."""
    if call.stop and codec is None:
        raise Refused(
            Reason.INVALID_PARAMETER,
            f"model {call.model!r} has no tokenizer.json, so it cannot stop at strings; use stop_token_ids",
            param="stop",
        )
    if len(call.stop) > MAX_STOP_STRINGS or not all(call.stop):
        raise Refused(
            Reason.INVALID_PARAMETER,
            f"stop takes at most {MAX_STOP_STRINGS} strings, none of them empty; got {len(call.stop)}",
            param="stop",
        )
    longest, num_ids = max(map(len, call.stop), default=0), len(call.sampling.stop_token_ids)
    if longest > MAX_STOP_CHARS:
        text = f"a stop string has {longest} characters; at most {MAX_STOP_CHARS} are looked for"
        raise Refused(Reason.INVALID_PARAMETER, text, param="stop")
    if num_ids > MAX_STOP_TOKENS:
        text = f"stop_token_ids has {num_ids} tokens; at most {MAX_STOP_TOKENS} are taken"
        raise Refused(Reason.INVALID_PARAMETER, text, param="stop_token_ids")


def check_chars(num_chars: int, limits: Limits, *, param: str) -> None:
    """Raises Refused for more text than is looked at, whatever the model could hold."""
    if num_chars > limits.max_prompt_chars:
        raise Refused(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"{param} has {num_chars} characters; at most {limits.max_prompt_chars} are taken",
            param=param,
        )


def check_messages(messages: Sequence[Mapping[str, object]], limits: Limits) -> None:
    """Raises Refused for more of them, or longer ones together, than are given to a template."""
    if len(messages) > limits.max_messages:
        raise Refused(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"{len(messages)} messages; at most {limits.max_messages} are taken",
            param="messages",
        )
    check_chars(sum(len(str(message.get("content", ""))) for message in messages), limits, param="messages")


def check_length(text: str, view: GenerationView, codec: TextCodec) -> None:
    """Raises Refused where no way to cut the text into tokens fits the context; spares tokenising it."""
    if len(text) > view.max_model_len * codec.longest_token_chars:
        raise Refused(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"the prompt has {len(text)} characters, which is more than the model's context of "
            f"{view.max_model_len} tokens can hold",
            param="prompt",
        )


def generate_call(
    call: TextCall, prompt_ids: tuple[int, ...], name: str, view: GenerationView
) -> GenerateCall:
    """The call for the fleet. name: the model's canonical one. Raises Refused where it does not fit."""
    _check_prompt(prompt_ids, view)
    room = view.max_model_len - len(prompt_ids)
    wanted = room if call.max_tokens is None else call.max_tokens
    if room < 1 or wanted > room:
        asked = "" if call.max_tokens is None else f" and {wanted} tokens of answer are asked for"
        raise Refused(
            Reason.CONTEXT_LENGTH_EXCEEDED,
            f"the model's context is {view.max_model_len} tokens; the prompt has {len(prompt_ids)}{asked}; "
            "shorten the prompt or ask for fewer",
            param="max_tokens" if room >= 1 else "prompt",
        )
    return GenerateCall(
        request_id=call.request_id,
        model=name,
        prompt_ids=prompt_ids,
        max_tokens=wanted,
        num_samples=call.num_samples,
        sampling=call.sampling,
        timeout_s=call.timeout_s,
        slo_s=call.slo_s,
        ttft_s=call.ttft_s,
        tpot_s=call.tpot_s,
        tenant=call.tenant,
        salt=call.salt,
        priority=call.priority,
        protocol=call.protocol,
    )


def _check_prompt(prompt_ids: tuple[int, ...], view: GenerationView) -> None:
    if not prompt_ids:
        raise Refused(Reason.INVALID_PARAMETER, "the prompt has no tokens; send at least one", param="prompt")
    if min(prompt_ids) < 0 or max(prompt_ids) >= view.vocab_size:
        wrong = next(token for token in prompt_ids if not 0 <= token < view.vocab_size)
        raise Refused(
            Reason.INVALID_PARAMETER,
            f"the prompt has token {wrong}; the model's vocabulary is 0 to {view.vocab_size - 1}",
            param="prompt",
        )
